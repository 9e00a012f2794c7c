"""Runs of ``ppo``: from settings to the method and its loop."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from esengine.algorithms.policy_gradient.ppo import PPO, PPOSettings
from esengine.demonstrations.recording import Recorder
from esengine.errors import UserError
from esengine.launch.settings.config import RunConfig
from esengine.launch.training.loop import RoundTraining, Training
from esengine.launch.training.method_run import MethodRun
from esengine.launch.training.problem_from_settings import environment_problem, initial_row
from esengine.pool import Built
from esengine.problems import EnvironmentProblem

P = TypeVar("P", bound=PPO)


class PolicyGradientTraining(RoundTraining):
    """The loop of ``ppo``."""

    keeps_best = True


class PolicyGradientRun(MethodRun):
    """A run of ``ppo``: the master alone learns; all ranks record and evaluate."""

    @property
    def loop(self) -> type[Training]:
        return PolicyGradientTraining

    def completed(self) -> RunConfig:
        if self.train.sampled_actions:
            raise UserError(
                f"--sampled-actions has no meaning for {self.config.method}, which always draws "
                f"actions in training, got True; drop it"
            )
        if self.train.env_id is None:
            raise UserError(
                f"{self.config.method} needs --env-id, got none; for example --env-id CartPole-v1"
            )
        return self.config

    def build(self, on_master: bool) -> Built[PPO | None]:
        problem = environment_problem(self.config)
        check_policy(problem)
        recorded = replace(problem, parts=(*problem.parts, Recorder()))
        return Built(recorded, make_ppo(PPO, self.config, recorded) if on_master else None)


def check_policy(problem: EnvironmentProblem) -> None:
    """Raises UserError for a policy that has no gradient here."""
    if problem.policy.components:
        raise UserError(
            "ppo needs a policy with one mean for each action, got a mixture; clone with another "
            "--loss"
        )


def make_ppo(kind: type[P], config: RunConfig, problem: EnvironmentProblem) -> P:
    """The method at its start. torch is imported here."""
    train = config.train
    assert isinstance(config.search, PPOSettings)
    initial = None if train.init_policy is None else initial_row(train, problem)
    return kind(config.search, problem, train.seed, initial)
