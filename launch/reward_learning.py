"""Runs of the methods that learn a reward: from settings to the method, its generator, and what is kept with the run."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from esengine.algorithms.inverse_rl.generators import Evolution, Generator
from esengine.algorithms.inverse_rl.settings import AIRLSettings, GAILSettings, InverseRLSettings, RewardLearningSettings
from esengine.errors import UserError, listed
from esengine.interrupts import StopRequest
from esengine.launch.build import build_problem, initial_row
from esengine.launch.config import RunConfig, settings_from
from esengine.launch.imitation import RecordingTraining, load_given, with_environment
from esengine.launch.methods import METHODS, loop_of, settings_of
from esengine.launch.run_directory import RunDirectory
from esengine.launch.training import Callback, RunResult
from esengine.named_values import named_values
from esengine.noise import table_log2
from esengine.opening import open_desk
from esengine.pool import Pool
from esengine.problems import EnvironmentProblem
from esengine.sampling import SamplingProblem
from esengine.traces import horizon_of
from esengine.worker import serve
from esengine.world import World

_MEANINGLESS = (
    "objective",
    "dimension",
    "minimize",
    "initial_mean",
    "reward",
    "potential",
    "potential_discount",
    "survival_bonus",
    "keep_skill",
    "anchor",
    "anchor_decay",
    "novelty",
    "episode_cap",
    "stop_step",
)


def run(
    world: World,
    config: RunConfig,
    directory: RunDirectory | None,
    stop: StopRequest | None = None,
    callbacks: tuple[Callback, ...] = (),
) -> RunResult | None:
    """Learn a reward and a policy on all ranks, see `training.run`. The master alone learns the reward; workers score by it."""
    problem = world.agree(lambda: sampling_problem(config))
    of_policies = generator_config(config)
    generator = world.agree(lambda: make_generator(of_policies, problem))
    rules = config.train.fault_rules()
    population_size = getattr(of_policies.search, "population_size", 1)
    log2 = table_log2(config.train.noise_table_size, problem.dimension, population_size)
    method = world.agree(lambda: method_of(config, problem, generator) if world.is_master else None)
    with open_desk(world, problem, config.train.seed, log2) as desk:
        if not world.is_master:
            serve(world, desk, stop, rules)
            return None
        with Pool(world, desk, stop, rules) as pool:
            return RecordingTraining(pool, config, directory, method, callbacks, stop).run()


def complete(config: RunConfig) -> RunConfig:
    """The settings with the environment of the demonstrations where none is given.

    Raises:
        UserError: settings have no meaning for the method, or demonstrations or the generator are no good.
    """
    config.refuse(_MEANINGLESS)
    config.search.check()
    generator_config(config).search.check()
    return with_environment(config)


def prepare(config: RunConfig, path: Path) -> RunDirectory:
    """Check what can be checked before ranks start, and make the run's folder with all that the run depends on.

    Raises:
        UserError: something is no good; nothing has been made.
    """
    config.check()
    problem = sampling_problem(config)
    method_of(config, problem, make_generator(generator_config(config), problem))
    directory = RunDirectory.create(path, config)
    directory.adopt_imitation(load_given(config), None)
    return directory


def generator_config(config: RunConfig) -> RunConfig:
    """The settings of a run of the generator alone. Raises UserError if it is no strategy, or has no such settings."""
    search = config.search
    assert isinstance(search, RewardLearningSettings)
    strategies = [name for name in METHODS if loop_of(name) is None]
    if search.generator not in strategies and ":" not in search.generator:
        raise UserError(f"--generator must be one of {listed(strategies)}, or module:Class, got {search.generator!r}")
    values = named_values("--generator-arg", search.generator_arg, "population_size=128")
    return RunConfig(search.generator, config.train, settings_from(settings_of(search.generator), values))


def make_generator(config: RunConfig, problem: EnvironmentProblem) -> Generator:
    """A generator at its start: any strategy."""
    return Evolution(config.strategy(initial_row(config.train, problem)))


def sampling_problem(config: RunConfig) -> SamplingProblem:
    """The problem of a run, whose reward source is set by the method.

    Raises:
        UserError: there is no such environment, or nothing limits its episodes.
    """
    of_policies = generator_config(config)
    plain = build_problem(of_policies)
    assert isinstance(plain, EnvironmentProblem)
    env = plain.environment.make()
    horizon = horizon_of(env, config.train.max_episode_steps)
    env.close()
    if horizon is None:
        raise UserError(
            f"{config.method} needs a limit of steps that all episodes count as, {config.train.env_id} has none; "
            "use --max-episode-steps 1000"
        )
    parts = {field.name: getattr(plain, field.name) for field in fields(EnvironmentProblem)}
    search: Any = config.search
    source = search.source(plain.observations.dim, plain.policy.action)
    source = replace(source, environment_weight=config.train.environment_weight)
    problem = SamplingProblem(**parts, source=source, horizon=horizon, sampling=search.sampling)
    if config.train.init_policy is None and config.train.normalize_observations:
        problem.adopt_scaling(*load_given(config).statistics().scale())  # an expert knows which differences matter
    return problem


def method_of(config: RunConfig, problem: SamplingProblem, generator: Generator) -> Any:
    """The method that the settings describe, at its start. torch is imported here."""
    from esengine.algorithms.inverse_rl.airl import AIRL
    from esengine.algorithms.inverse_rl.gail import GAIL
    from esengine.algorithms.inverse_rl.guided_cost import GuidedCost

    kind = {GAILSettings: GAIL, AIRLSettings: AIRL, InverseRLSettings: GuidedCost}[type(config.search)]
    return kind(config.search, problem, generator, load_given(config), config.train.seed)
