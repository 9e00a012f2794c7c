"""Runs of ``ppo``: from settings to the method and its loop."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.ppo import PPO, PPOSettings, RewardOf
from esengine.errors import UserError
from esengine.interrupts import StopRequest
from esengine.launch.build import AnyProblem, build_problem
from esengine.launch.config import RunConfig
from esengine.launch.imitation import RecordingTraining
from esengine.launch.run_directory import RunDirectory
from esengine.launch.training import Callback, RunResult
from esengine.opening import open_desk
from esengine.policy_file import load_policy
from esengine.pool import Pool
from esengine.problems import EnvironmentProblem
from esengine.recording import RecordingProblem
from esengine.reward_sources import over_end
from esengine.rewarded import RewardedProblem
from esengine.traces import Trace
from esengine.trajectories import Trajectory
from esengine.worker import serve
from esengine.world import World

_MEANINGLESS = (
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
    "sampled_actions",
)


def run(
    world: World,
    config: RunConfig,
    directory: RunDirectory | None,
    stop: StopRequest | None = None,
    callbacks: tuple[Callback, ...] = (),
) -> RunResult | None:
    """Follow the policy gradient on all ranks, see `training.run`. The master alone learns; all ranks record and evaluate."""
    problem, judge = world.agree(lambda: _problem(config))
    with open_desk(world, problem, config.train.seed, log2_size=None) as desk:
        if not world.is_master:
            serve(world, desk, stop)
            return None
        with Pool(world, desk, stop) as pool:
            return RecordingTraining(pool, config, directory, _method(config, problem, judge), callbacks, stop).run()


def complete(config: RunConfig) -> RunConfig:
    """The settings as they are. Raises UserError for some that have no meaning here."""
    config.refuse(_MEANINGLESS)
    if config.train.env_id is None:
        raise UserError(f"{config.method} needs --env-id, got none; for example --env-id CartPole-v1")
    return config


def prepare(config: RunConfig, path: Path) -> RunDirectory:
    """Check what can be checked before ranks start, and make the run's folder. Raises UserError; nothing has been made then."""
    config.check()
    _problem(config)
    return RunDirectory.create(path, config)


def _problem(config: RunConfig) -> tuple[RecordingProblem, AnyProblem]:
    """The problem whose episodes are recorded, and the one that the settings describe, whose reward may be a learned one."""
    judge = build_problem(config)
    assert isinstance(judge, EnvironmentProblem)
    if judge.policy.components:
        raise UserError("ppo needs a policy with one mean for each action, got a mixture; clone with another --loss")
    parts = {field.name: getattr(judge, field.name) for field in fields(EnvironmentProblem) if field.init}
    return RecordingProblem(**parts), judge


def _method(config: RunConfig, problem: RecordingProblem, judge: AnyProblem) -> PPO:
    """The method at its start. torch is imported here."""
    train, search = config.train, config.search
    assert isinstance(search, PPOSettings)
    initial = None
    if train.init_policy is not None:
        policy = load_policy(train.init_policy)
        problem.adopt_scaling(policy.observation_mean, policy.observation_inverse_std)
        initial = policy.parameters[: problem.policy.num_parameters]
    if not isinstance(judge, RewardedProblem):
        return PPO(search, problem, train.seed, initial)
    return PPO(search, problem, train.seed, initial, _learned(judge, search.discount))


def _learned(judge: RewardedProblem, discount: float) -> RewardOf:
    """The learned reward of an episode's steps, with what comes after its end."""

    def reward_of(trajectory: Trajectory) -> NDArray[np.float64]:
        rewards = judge.source.steps(Trace.of(trajectory, judge.policy.action), judge.actor)
        return over_end(rewards, trajectory.terminated, judge.horizon, judge.source.absorbing, discount)

    return reward_of
