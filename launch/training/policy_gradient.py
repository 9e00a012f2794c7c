"""Runs of ``ppo``: from settings to the method and its loop."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TypeVar

from esengine.algorithms.policy_gradient.ppo import PPO, PPOSettings
from esengine.demonstrations.recording import RecordingProblem
from esengine.errors import UserError
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.settings.config import RunConfig
from esengine.launch.training.imitation import RecordingTraining
from esengine.launch.training.loop import Callback, RunResult
from esengine.launch.training.problem_from_settings import build_problem, initial_row
from esengine.pool.on_all_ranks import Built, on_all_ranks
from esengine.pool.pool import Pool
from esengine.problems import EnvironmentProblem
from esengine.ranks.signals import StopRequest
from esengine.ranks.world import World

P = TypeVar("P", bound=PPO)

MEANINGLESS = (
    "objective",
    "dimension",
    "minimize",
    "initial_mean",
    "episodes_per_member",
    "member_statistic",
    "member_quantile",
    "survival_bonus",
    "episode_seeds",
    "episode_cap",
    "stop_step",
    "novelty",
    "noise_table_size",
    "keep_skill",
    "anchor",
    "anchor_decay",
    "goals",
)
"""Shared settings that a policy gradient does not read."""


def run(
    world: World,
    config: RunConfig,
    directory: RunDirectory | None,
    stop: StopRequest | None = None,
    callbacks: tuple[Callback, ...] = (),
) -> RunResult | None:
    """Follow the policy gradient on all ranks, see `training.run`. The master alone learns; all
    ranks record and evaluate.
    """

    def build() -> Built[PPO | None]:
        problem = _problem(config)
        return Built(problem, make_ppo(PPO, config, problem) if world.is_master else None)

    def work(pool: Pool, method: PPO | None) -> RunResult:
        return RecordingTraining(pool, config, directory, method, callbacks, stop).run()

    return on_all_ranks(world, build, work, stop)


def complete(config: RunConfig) -> RunConfig:
    """The settings as they are. Raises UserError for some that have no meaning here."""
    config.refuse((*MEANINGLESS, "sampled_actions"))
    if config.train.env_id is None:
        raise UserError(
            f"{config.method} needs --env-id, got none; for example --env-id CartPole-v1"
        )
    return config


def prepare(config: RunConfig, path: Path) -> RunDirectory:
    """Check what can be checked before ranks start, and make the run's folder. Raises UserError;
    nothing has been made then.
    """
    config.check()
    _problem(config)
    return RunDirectory.create(path, config)


def _problem(config: RunConfig) -> RecordingProblem:
    """The problem that the settings describe, as one whose episodes are recorded."""
    problem = build_problem(config)
    assert isinstance(problem, EnvironmentProblem)
    check_policy(problem)
    if isinstance(problem, RecordingProblem):
        return problem
    parts = {
        field.name: getattr(problem, field.name)
        for field in fields(EnvironmentProblem)
        if field.init
    }
    return RecordingProblem(**parts)


def check_policy(problem: EnvironmentProblem) -> None:
    """Raises UserError for a policy that has no gradient here."""
    if problem.policy.components:
        raise UserError(
            "ppo needs a policy with one mean for each action, got a mixture; clone with another "
            "--loss"
        )


def make_ppo(kind: type[P], config: RunConfig, problem: RecordingProblem) -> P:
    """The method at its start. torch is imported here."""
    train, search = config.train, config.search
    assert isinstance(search, PPOSettings)
    initial = None if train.init_policy is None else initial_row(train, problem)
    return kind(search, problem, train.seed, initial)
