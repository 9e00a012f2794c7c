"""From settings to the objects of a run: problem, initial row, strategy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.candidates import PolicyEpisodes
from esengine.demonstrations.half_random import Wanderer
from esengine.demonstrations.recording import Recorder
from esengine.environments import (
    ActionSpec,
    EnvironmentSpec,
    ObservationSpec,
    check_fit,
    describe,
    is_classic,
    is_mujoco,
    load_rules,
    picture_in,
)
from esengine.errors import UserError
from esengine.goals import GoalEpisodes
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.groups import parse_convolutions
from esengine.launch.settings.train_settings import TrainSettings
from esengine.policies import Policy, PolicySpec, load_policy
from esengine.policies.layers import convolution
from esengine.policies.network import check_compiled, picture_of
from esengine.problems import (
    Anchor,
    Columns,
    EnvironmentProblem,
    EpisodeSeeds,
    GeneralObjective,
    ObjectiveProblem,
    Summary,
)
from esengine.problems.behaviors import Behavior
from esengine.problems.environment_episodes import Scaling
from esengine.problems.episode_limits import EpisodeLimits
from esengine.problems.search_space import SearchSpace
from esengine.repertoires import load_archive
from esengine.rewards import RewardedEpisodes, RewardSource, load_reward
from esengine.rewards.network import LearnedReward
from esengine.simulators.families import has_compiled, why_stepped
from esengine.simulators.traces import horizon_of
from esengine.simulators.vectorized import offers_vector
from esengine.user_code import PARAMETER, check_trusted, named_callable, takes

AnyProblem = EnvironmentProblem | ObjectiveProblem
_SMALL_PICTURE = 36
_OF_THESE = "name a file that was made for these"


def policy_episodes(
    train: TrainSettings, row: NDArray[np.floating], count: int, purpose: str
) -> PolicyEpisodes:
    """The ``count`` episodes of an evaluation or of the final one, of a row of parameters."""
    seed = train.seed if train.eval_seed is None else train.eval_seed
    return PolicyEpisodes(seed, 0, count, row, purpose)


def build_problem(config: RunConfig, objective: Callable[..., Any] | None = None) -> AnyProblem:
    """The problem that the settings describe.

    Args:
        config: checked settings.
        objective: the function itself, when it comes from Python instead of by name.

    Raises:
        UserError: the environment or the objective cannot be made, or has spaces that policies
            cannot act in.
    """
    train = config.train
    if train.env_id is not None:
        return environment_problem(config)
    assert train.dimension is not None
    space = config.space()
    columns = train.columns(has_value=True)
    function = objective or _function(train, columns)
    if train.ranks_per_member is not None and not takes(function, PARAMETER):
        raise UserError(
            f"--ranks-per-member must be used with an objective that takes the team's communicator "
            f"as a parameter {PARAMETER}, got {train.objective}, which has none; add it, or drop "
            f"--ranks-per-member"
        )
    plain: dict[str, Any] = {
        "function": function,
        "dimension": train.dimension if space is None else space.dimension,
        "minimize": train.minimize,
        "episodes_per_member": train.episodes_per_member or 1,
        "summary": Summary(train.member_statistic, train.member_quantile),
        "episode_seeds": "pair" if train.episode_seeds == "auto" else train.episode_seeds,
        "antithetic": config.search.antithetic,
        "space": space,
    }
    if columns is None and train.batch is None and train.command is None:
        return ObjectiveProblem(**plain)
    if columns is not None:
        plain["columns"] = columns
    return GeneralObjective(**plain, batch=train.batch)


def objective_of(train: TrainSettings) -> Callable[..., Any]:
    """The function that ``--objective`` names. Raises UserError."""
    function: Callable[..., Any] = named_callable(
        "--objective", train.objective or "", "mypackage.sim:cost"
    )
    return function


def _function(train: TrainSettings, columns: Columns | None) -> Callable[..., Any]:
    """What is optimised: a function by its name, or a program. Raises UserError."""
    if train.command is None:
        return objective_of(train)
    names = ("value",) if columns is None else columns.names
    return train.program(train.command, train.whole_variables(), names, train.member_timeout)


def environment_problem(config: RunConfig) -> EnvironmentProblem:
    """The problem of checked settings with an environment. Raises UserError."""
    train = config.train
    assert train.env_id is not None
    environment = train.environment()
    with environment.opened() as env:
        observations, action = describe(env)
        if train.env_backend == "compiled" and not has_compiled(env):
            reason = why_stepped(env)
            raise UserError(
                f"--env-backend compiled must be used with an environment that has compiled "
                f"rollouts, got {train.env_id}{'' if reason is None else f', but {reason}'}; use "
                f"--env-backend auto"
            )
        if train.rules and train.env_backend not in ("auto", "gymnasium"):
            raise UserError(
                f"--rules must be used with --env-backend gymnasium, got {train.env_backend}; "
                f"rules are Python"
            )
        if train.env_backend == "vectorized":
            _check_vectorized(config, environment)
        behavior = _behavior(config, env, observations)
        columns = train.columns(has_value=False)
        in_python = train.behavior is not None and not is_mujoco(env)
        steps = (in_python or columns is not None) and train.env_backend == "auto"
        architecture = _architecture(train, is_mujoco(env))
        space = env.observation_space
        pictures = _pictures(train, space)
    given = _given_policy(config)
    if given is not None:
        policy = _fitting_policy(*given, train, (observations, action)).spec
    else:
        policy = PolicySpec(observations.dim, action, sampled=train.sampled_actions, **architecture)
        if policy.module:
            policy = replace(policy, observation_shape=observations.shape)
        policy = replace(policy, **pictures)
    if train.env_backend in ("compiled", "vectorized"):
        check_compiled(policy, f"--env-backend {train.env_backend}")
    problem = EnvironmentProblem(
        environment=environment,
        observations=observations,
        policy=policy,
        seed=train.seed,
        episodes_per_member=train.episodes_per_member or _default_episodes(train, env),
        episode_seeds=_episode_seeds(config),
        normalize_observations=train.normalize_observations,
        max_episode_steps=train.max_episode_steps,
        fresh_env=train.fresh_env,
        env_backend="gymnasium" if steps else train.env_backend,
        antithetic=config.search.antithetic,
        survival_bonus=train.survival_bonus,
        shield=load_rules(train.rules),
        summary=Summary(train.member_statistic, train.member_quantile),
        limits=EpisodeLimits(train.episode_cap),
        behavior=behavior,
        columns=columns,
    )
    if given is not None:
        problem.adopt_scaling(given[2].observation_mean, given[2].observation_inverse_std)
    elif policy.convolutions:
        problem.adopt_scaling(*_scaling_of(policy, space))
    if train.goals == "curriculum":
        wanderer = Recorder(Wanderer(train.wandering, action))
        return replace(problem, parts=(wanderer, GoalEpisodes(train.goal_archive)))
    if train.reward is None and train.potential is None:
        return problem
    horizon = common_horizon("--reward", problem)
    return replace(problem, parts=(RewardedEpisodes(_source(train, problem), horizon),))


def _given_policy(config: RunConfig) -> tuple[str, Path, Policy] | None:
    """The flag, the path and the policy that a run begins from, or None. Raises UserError."""
    if config.train.init_policy is not None:
        return "--init-policy", config.train.init_policy, load_policy(config.train.init_policy)
    archive: Path | None = getattr(config.search, "init_archive", None)
    if archive is not None:
        found = load_archive(archive)
        return "--init-archive", archive, found.policy_of(found.best())
    return None


def _fitting_policy(
    flag: str,
    path: Path,
    policy: Policy,
    train: TrainSettings,
    spaces: tuple[ObservationSpec, ActionSpec],
) -> Policy:
    """The policy of a flag. Raises UserError if it does not fit the spaces of the environment, or
    names a module that is not trusted.
    """
    if policy.spec.module:
        check_trusted(path, policy.spec.module, trusted=train.trust_modules)
    found = (policy.spec.observation_dim, policy.spec.action)
    check_fit(flag, str(train.env_id), spaces, found, f"{path} with ", _OF_THESE)
    return policy


def _architecture(train: TrainSettings, mujoco: bool) -> dict[str, Any]:
    """The hidden layers of a new policy, as arguments of `PolicySpec`."""
    if train.policy == "linear" or (train.policy == "auto" and mujoco):
        return {}
    if ":" in train.policy:
        return {"module": train.policy}
    return {
        "hidden_sizes": train.hidden_sizes,
        "memory": train.policy if train.policy in ("gru", "lstm") else "none",
        "activation": train.activation,
        "layer_norm": train.layer_norm,
    }


def _pictures(train: TrainSettings, space: gymnasium.Space[Any]) -> dict[str, Any]:
    """The convolutions of a new policy and the picture that they see, as arguments of `PolicySpec`.
    Raises UserError if there is no picture, or it is too small for them.
    """
    if train.policy != "conv" and not train.convolutions:
        return {}
    try:
        offset, found = picture_in(space)
        shape = found.shape
        picture, _ = picture_of(shape)
        small = min(picture[:2]) < _SMALL_PICTURE
        texts = train.convolutions or (("16x3/1",) if small else ("16x8/4", "32x4/2"))
        convolutions = parse_convolutions(texts)
        for filters, kernel, stride in convolutions:
            picture = convolution(picture, filters, kernel, stride).picture
    except ValueError as error:
        raise UserError(
            f"--policy {train.policy} with --convolutions must fit the pictures of {train.env_id}, "
            f"got {space}: {error}; set --convolutions, or use --policy mlp"
        ) from error
    return {"observation_shape": shape, "convolutions": convolutions, "picture_offset": offset}


def _scaling_of(policy: PolicySpec, space: gymnasium.Space[Any]) -> Scaling:
    """The scaling of pictures: bytes become 0 to 1, other numbers stay as they are."""
    inverse = np.ones(policy.observation_dim, np.float32)
    offset, picture = picture_in(space)
    if picture.dtype == np.uint8:
        inverse[offset : offset + math.prod(picture.shape)] = 1 / 255
    return np.zeros_like(inverse), inverse


def is_noisy(train: TrainSettings, problem: AnyProblem) -> bool:
    """Whether fitness is treated as noisy, see ``--noise``."""
    if train.noise != "auto":
        return train.noise == "on"
    return isinstance(problem, ObjectiveProblem) and problem.is_noisy


def common_horizon(needed_by: str, problem: EnvironmentProblem) -> int:
    """The number of steps that all episodes count as. Raises UserError if nothing limits them."""
    with problem.environment.opened() as env:
        horizon = horizon_of(env, problem.max_episode_steps)
    if horizon is None:
        raise UserError(
            f"{needed_by} needs a limit of steps that all episodes count as, "
            f"{problem.environment.env_id} has none; use --max-episode-steps 1000"
        )
    return horizon


def _default_episodes(train: TrainSettings, env: Any) -> int:
    """Episodes of a member's fitness: several where one start, or one goal, tells little of a
    policy.
    """
    if train.goals == "curriculum":
        return 8
    return 4 if is_classic(env) else 1


def _source(train: TrainSettings, problem: EnvironmentProblem) -> RewardSource:
    """What ``--reward``, ``--environment-weight`` and ``--potential`` make together. Raises
    UserError.
    """
    learned, potential = (
        None if path is None else _fitting_reward(flag, path, problem)
        for flag, path in (("--reward", train.reward), ("--potential", train.potential))
    )
    if potential is not None and potential.spec.sees != "states":
        raise UserError(
            f"--potential must be a reward of the state alone, got {train.potential}; learn one "
            f"by airl"
        )
    weight = train.environment_weight if learned is not None else 1.0
    return RewardSource(learned, weight, potential, train.potential_discount)


def _fitting_reward(flag: str, path: Path, problem: EnvironmentProblem) -> LearnedReward:
    """The reward of a flag's file. Raises UserError if it does not fit the environment."""
    reward = load_reward(path)
    policy = problem.policy
    spaces = (problem.observations, policy.action)
    found = (reward.spec.observation_dim, reward.spec.action)
    check_fit(flag, problem.environment.env_id, spaces, found, f"{path} with ", _OF_THESE)
    return reward


def _behavior(config: RunConfig, env: Any, observations: ObservationSpec) -> Behavior | None:
    """What novelty, or the measures of an archive, are measured on. Raises UserError for a function
    that does not give it.
    """
    train = config.train
    is_given = train.behavior is not None or bool(train.behavior_indices)
    if train.novelty == "none" and not is_given:
        return None
    if train.behavior is None:
        return Behavior.of_observation(observations.dim, train.behavior_indices)

    function = named_callable("--behavior", train.behavior, "mypackage.walker:final_position")
    if train.env_backend == "compiled" and not is_mujoco(env):
        raise UserError(
            "--behavior needs an environment that is stepped, got --env-backend compiled; use "
            "--env-backend auto"
        )
    observation, _ = env.reset(seed=train.seed)

    return Behavior.of_function(
        function, env, observations.flat(env.observation_space, observation)
    )


def _episode_seeds(config: RunConfig) -> EpisodeSeeds:
    """Who meets the same starts. Without them, the ranks of members say more about their starts
    than about their policies.
    """
    chosen = config.train.episode_seeds
    if chosen != "auto":
        return chosen
    vectorized = config.train.env_backend == "vectorized"
    return "pair" if config.search.antithetic or vectorized else "generation"


def _check_vectorized(config: RunConfig, environment: EnvironmentSpec) -> None:
    train = config.train
    if environment.wrappers:
        raise UserError(
            f"--env-wrapper must be used with --env-backend auto or gymnasium, got vectorized, "
            f"which has no single environments for {train.env_wrapper[0]}; use auto"
        )
    if not offers_vector(environment):
        raise UserError(
            "--env-backend vectorized must be used with an environment that registers a "
            "vector_entry_point and observes a Box, "
            f"got {train.env_id}; use --env-backend auto"
        )
    seeds = _episode_seeds(config)
    if seeds == "generation" or (seeds == "pair" and config.search.antithetic):
        allowed = "member" if config.search.antithetic else "pair or member"
        raise UserError(
            f"--episode-seeds must be {allowed} with --env-backend vectorized and "
            f"{config.method}, got {seeds}; "
            "a vector draws a start of its own for each of its lanes"
        )
    if train.fresh_env:
        raise UserError(
            "--fresh-env must be used with --env-backend gymnasium, got vectorized; a vector's "
            "lanes are reset together"
        )


def initial_row(train: TrainSettings, problem: AnyProblem) -> NDArray[np.floating]:
    """The parameters that the search starts from, (dimension,), and the observation scaling that
    belongs to them.
    """
    if isinstance(problem, ObjectiveProblem):
        space = problem.space or SearchSpace.free(problem.dimension)
        return np.asarray(space.rows(train.start(space)[None])[0])
    if train.init_policy is not None:
        policy = load_policy(train.init_policy)
        problem.adopt_scaling(policy.observation_mean, policy.observation_inverse_std)
        if train.anchor:
            problem.anchor = Anchor(policy.parameters, train.anchor, train.anchor_decay)
        return policy.parameters
    return problem.policy.initial_parameters(train.seed)


def trained_policy(
    problem: EnvironmentProblem, parameters: NDArray[np.floating], scaling: Scaling | None = None
) -> Policy:
    """The policy to save: parameters with the scaling that they were evaluated under, by default
    the problem's as it is now.
    """
    row = np.asarray(parameters, np.float32)
    limits = (problem.max_episode_steps, problem.fresh_env)
    spec = problem.policy
    return Policy(spec, row, *(scaling or problem.scaling()), problem.environment, *limits)
