"""Runs of the methods that learn a reward: from settings to the method, its generator, and what is
kept with the run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from esengine.algorithms.inverse_rl.expert_steps import expert_steps
from esengine.algorithms.inverse_rl.generators import Evolution, Generator, PolicyGradient
from esengine.algorithms.inverse_rl.settings import (
    AIRLSettings,
    GAILSettings,
    InverseRLSettings,
    RewardLearningSettings,
)
from esengine.algorithms.policy_gradient.ppo import PPOSettings
from esengine.checks import named_values
from esengine.demonstrations.recording import Recorder
from esengine.errors import UserError, listed
from esengine.launch.runs.copied_files import copy_demonstrations
from esengine.launch.runs.saving import Snapshot
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.methods import POLICY_GRADIENT, STRATEGIES, settings_of
from esengine.launch.settings.settings_values import settings_from
from esengine.launch.training.imitation import load_given, with_environment
from esengine.launch.training.loop import RoundTraining, Training
from esengine.launch.training.method_run import MethodRun
from esengine.launch.training.policy_gradient import check_policy, make_ppo
from esengine.launch.training.problem_from_settings import (
    common_horizon,
    environment_problem,
    initial_row,
)
from esengine.noise import table_log2
from esengine.pool import Built
from esengine.problems import EnvironmentProblem
from esengine.rewards import RewardedEpisodes, Sees
from esengine.rewards.likeness import ComparedEpisodes, Likeness

if TYPE_CHECKING:
    from esengine.algorithms.inverse_rl.gail import GAIL


_MEMBERS = 64  # of a generation of cma-es: the reward learns from the steps of many policies


class RewardTraining(RoundTraining):
    """The loop of a method that learns a reward, which is saved with the policy. Policies are
    chosen by their likeness to the demonstrations.
    """

    keeps_best = True
    method: GAIL

    def snapshot(self) -> Snapshot:
        return replace(super().snapshot(), reward=self.method.reward)


class RewardLearningRun(MethodRun):
    """A run of a method that learns a reward and a policy: the master alone learns the reward;
    workers score by it.
    """

    @property
    def loop(self) -> type[Training]:
        return RewardTraining

    def completed(self) -> RunConfig:
        self.config.search.check()
        of_policies = generator_config(self.config)
        of_policies.search.check()
        if isinstance(of_policies.search, PPOSettings):
            self.config.refuse_unread(POLICY_GRADIENT, f"{self.config.method} with --generator ppo")
        return with_environment(self.config)

    def build(self, on_master: bool) -> Built[GAIL | None]:
        of_policies = generator_config(self.config)
        problem = sampling_problem(self.config, of_policies)
        initial = initial_row(self.train, problem)  # and its scaling, which workers need too

        generator: Generator | None = None
        log2 = None
        if not isinstance(of_policies.search, PPOSettings):
            strategy = of_policies.strategy(initial, learned_reward=True)
            generator = Evolution(strategy)
            log2 = table_log2(
                self.train.noise_table_size, problem.dimension, strategy.population_size
            )
        elif on_master:
            check_policy(problem)
            generator = make_ppo(PolicyGradient, of_policies, problem)

        method = method_of(self.config, problem, generator) if on_master and generator else None
        return Built(problem, method, log2, self.train.seed)

    def check(self) -> Built[GAIL | None]:
        return self.build(on_master=True)

    def copy_files(self, folder: Path) -> RunConfig:
        copies = copy_demonstrations(folder, load_given(self.config), None)
        return super().copy_files(folder).with_search(**copies)


def generator_config(config: RunConfig) -> RunConfig:
    """The settings of a run of the generator alone. Raises UserError if it is no generator, or has
    no such settings.
    """
    search = config.search
    assert isinstance(search, RewardLearningSettings)
    known = [*STRATEGIES, "ppo"]
    if search.generator not in known and ":" not in search.generator:
        raise UserError(
            f"--generator must be one of {listed(known)}, or module:Class, got {search.generator!r}"
        )
    values = named_values("--generator-arg", search.generator_arg, "population_size=128")
    if search.generator == "cma-es":
        values = {"population_size": _MEMBERS} | values
    return RunConfig(
        search.generator, config.train, settings_from(settings_of(search.generator), values)
    )


def sampling_problem(config: RunConfig, of_policies: RunConfig) -> EnvironmentProblem:
    """The problem of a run, whose reward source is set by the method.

    Args:
        config: the settings.
        of_policies: those of the generator.

    Raises:
        UserError: there is no such environment, or nothing limits its episodes.
    """
    plain = environment_problem(of_policies)
    if isinstance(of_policies.search, PPOSettings) and config.train.init_policy is None:
        # as `ppo` itself: it draws its actions, and returns a policy that takes the mode
        plain = replace(plain, policy=replace(plain.policy, sampled=False))
    horizon = common_horizon(config.method, plain)
    search: Any = config.search
    source = search.source(plain.observations.dim, plain.policy.action)
    source = replace(source, environment_weight=config.train.environment_weight)
    rewarded = RewardedEpisodes(source, horizon, search.sampling)
    given = load_given(config)
    demonstrated = expert_steps(given, horizon, 1, config.train.seed)
    sees: Sees = "actions" if search.needs_actions else "transitions"
    compared = ComparedEpisodes(Likeness(demonstrated, given.action, sees), horizon)
    problem = replace(plain, parts=(*plain.parts, rewarded, Recorder(), compared))
    if config.train.init_policy is None and config.train.normalize_observations:
        # an expert knows which differences matter
        problem.adopt_scaling(*given.scaling())
    return problem


def method_of(config: RunConfig, problem: EnvironmentProblem, generator: Generator) -> GAIL:
    """The method that the settings describe, at its start. torch is imported here."""
    from esengine.algorithms.inverse_rl.airl import AIRL
    from esengine.algorithms.inverse_rl.gail import GAIL
    from esengine.algorithms.inverse_rl.guided_cost import GuidedCost

    kind = {GAILSettings: GAIL, AIRLSettings: AIRL, InverseRLSettings: GuidedCost}[
        type(config.search)
    ]
    method: GAIL = kind(config.search, problem, generator, load_given(config), config.train.seed)
    return method
