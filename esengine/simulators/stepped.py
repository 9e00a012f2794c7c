"""Running episodes of a gymnasium environment with a compiled policy."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import wrappers
from numba import carray
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.compiled.addresses import pointer_at
from esengine.environments import ActionSpec, ObservationSpec, Rules
from esengine.policies import Actor, accumulate, act
from esengine.simulators.contract import UNLIMITED
from esengine.simulators.traces import Episode, TraceBuffer, check_observation
from esengine.user_code import close, number_of, own_copy

Agent = Callable[[Any, int], Any]
"""Who acts in one episode: from an observation, in the environment's own form, and the number of
steps before it to an action.
"""

Keeper = Callable[[int, Any, float, Any], None]
"""Keeps the steps of one episode. It is called with 0 and the first observation, and then after
each step with its number from 1 on, its action, its reward and the observation after it.
"""


def run_agent(
    env: gymnasium.Env[Any, Any],
    observations: ObservationSpec,
    agent: Agent,
    seed: int,
    max_steps: int | None = None,
    rules: Rules | None = None,
    keep: Keeper | None = None,
) -> Episode:
    """Run one episode of an environment; all episodes that are stepped in Python are run here.

    Who acts is a function of the observation: `policy_agent` makes one of a policy. An expert, a
    mixture of both or a policy with noise are agents of the same form, and what they need of the
    environment's first state they read at step 0.

    Args:
        env: reset and stepped; it is left as the episode ends.
        observations: how the last observation becomes a flat vector.
        agent: called with each observation and the number of steps before it.
        seed: of `env.reset`.
        max_steps: cut the episode after this many steps, or None to leave that to the environment.
        rules: replace the agent's actions while they fire, or None.
        keep: keeps the steps, or None.
    """
    step = env.step
    episode_return = 0.0
    num_steps = 0
    observation, _ = env.reset(seed=seed)
    if keep is not None:
        keep(0, None, 0.0, observation)

    while True:
        action = agent(observation, num_steps)
        if rules:
            correction = rules.correction(observation)
            action = action if correction is None else correction
        taken = action if keep is None else own_copy(action)
        observation, reward, terminated, truncated, info = step(action)
        reward = number_of("a reward", reward)
        episode_return += reward
        num_steps += 1
        if keep is not None:
            keep(num_steps, taken, reward, observation)

        cut = bool(truncated) or num_steps == max_steps
        if terminated or cut:
            last = observations.flat(env.observation_space, observation)
            return Episode(episode_return, num_steps, bool(terminated), last, cut, info)


def run_episode(
    env: gymnasium.Env[Any, Any],
    observations: ObservationSpec,
    actor: Actor,
    seed: int,
    moments: NDArray[np.float64] | None = None,
    max_steps: int | None = None,
    rules: Rules | None = None,
    trace: TraceBuffer | None = None,
) -> Episode:
    """Run one episode of a policy: `run_agent`, with the arguments of `Simulator.run`.

    Args:
        env, observations: see `run_agent`.
        actor, seed, moments, max_steps, trace: see `Simulator.run`.
        rules: replace the policy's actions while they fire.
    """
    agent = policy_agent(env.observation_space, observations, actor, seed, moments)
    keep = None
    if trace is not None:
        keep = trace_keeper(env.observation_space, observations, actor.spec.action, trace)
    return run_agent(env, observations, agent, seed, max_steps, rules, keep)


def policy_agent(
    space: gymnasium.Space[Any],
    observations: ObservationSpec,
    actor: Actor,
    seed: int,
    moments: NDArray[np.float64] | None = None,
) -> Agent:
    """The agent that does what a policy does, and adds each observation to ``moments``.

    Args:
        space: of the observations.
        observations: how they become flat vectors.
        actor: the policy, whose arrays must not be replaced during the episode.
        seed: stream of sampled actions.
        moments: see `Simulator.run`.
    """
    direct = observations.direct
    shape = (observations.dim,)
    decoded = actor.decoded
    if actor.spec.module:
        return _module_agent(space, observations, actor, seed, moments)
    policy = packed(actor, seed, moments)

    def act(observation: Any, step: int) -> Any:
        plain = direct and type(observation) is np.ndarray and observation.shape == shape
        if not plain or observation.dtype.kind not in "fiub":
            observation = observations.flat(space, observation)
        if not observe_and_act(policy, observation, step):
            check_observation(observation, step)
        return decoded()

    return act


def _module_agent(
    space: gymnasium.Space[Any],
    observations: ObservationSpec,
    actor: Actor,
    seed: int,
    moments: NDArray[np.float64] | None,
) -> Agent:
    """`policy_agent` of a policy that is a user's module."""

    direct = observations.direct
    shape = (observations.dim,)

    def act(observation: Any, step: int) -> Any:
        if direct and type(observation) is np.ndarray and observation.shape == shape:
            flat = observation.astype(np.float32)
        else:
            flat = observations.flat(space, observation)
        if not np.isfinite(flat).all():
            check_observation(flat, step)
        if moments is not None:
            accumulate(moments, flat)
        return actor.act(flat, seed, step)

    return act


def trace_keeper(
    space: gymnasium.Space[Any],
    observations: ObservationSpec,
    action_spec: ActionSpec,
    trace: TraceBuffer,
) -> Keeper:
    """The function that writes the steps of an episode into a trace.

    Args:
        space: of the observations.
        observations: how they become flat vectors.
        action_spec: how actions become numbers.
        trace: overwritten.
    """
    seen, choices, rewards = trace.arrays

    def keep(step: int, action: Any, reward: float, observation: Any) -> None:
        seen[step] = observations.flat(space, observation)
        if step:
            values = action_spec.flat(action)
            is_box = action_spec.kind == "box"
            choices[step - 1] = values if is_box else action_spec.options(values[None])[0]
            rewards[step - 1] = reward

    return keep


def packed(actor: Actor, seed: int, moments: NDArray[np.float64] | None) -> NDArray[np.int64]:
    """The arguments of `act` as one array of addresses and sizes, since a call from Python pays for
    every argument.

    Args:
        actor: the policy, which must live, with the same arrays, as long as the result is used.
        seed: stream of sampled actions.
        moments: see `Simulator.run`.
    """
    parameters, *network, head, sampled, decoded = actor.compiled_arguments
    kind, *bounds = head
    arrays = [parameters, *network, *bounds, decoded]
    num_moments = 0
    if moments is not None:
        arrays.append(moments)
        num_moments = moments.size

    num_layers, num_columns = network[0].shape
    width = network[3].shape[1]
    numbers = [kind, sampled, np.uint64(seed).astype(np.int64), num_layers, num_columns, width]
    numbers.append(num_moments)
    for array in arrays:
        numbers += [array.__array_interface__["data"][0], array.size]
    return np.array(numbers, np.int64)


@kernel
def observe_and_act(packed: NDArray[np.int64], observation: NDArray[Any], step: int) -> bool:
    """Round the observation to float32, add it to the moments, and call `act`, all in one call.
    Returns whether the observation was finite.

    Args:
        packed: from the function of that name.
        observation: (obs_dim,) of any number type.
        step: number of the step in its episode.
    """
    kind, sampled, key = packed[0], packed[1], packed[2]
    num_layers, num_columns, width, num_moments = packed[3], packed[4], packed[5], packed[6]
    parameters = carray(pointer_at(packed[7]), (packed[8],), np.float32)
    table = carray(pointer_at(packed[9]), (num_layers, num_columns), np.int64)
    mean = carray(pointer_at(packed[11]), (packed[12],), np.float32)
    inverse_std = carray(pointer_at(packed[13]), (packed[14],), np.float32)
    hidden = carray(pointer_at(packed[15]), (packed[16] // width, width), np.float32)
    state = carray(pointer_at(packed[17]), (packed[18],), np.float32)
    choice_sizes = carray(pointer_at(packed[19]), (packed[20],), np.int64)
    low = carray(pointer_at(packed[21]), (packed[22],), np.float64)
    high = carray(pointer_at(packed[23]), (packed[24],), np.float64)
    center = carray(pointer_at(packed[25]), (packed[26],), np.float64)
    reach = carray(pointer_at(packed[27]), (packed[28],), np.float64)
    decoded = carray(pointer_at(packed[29]), (packed[30],), np.float64)
    flat = hidden[1][: observation.size]  # free until the first layer's outputs are written there

    zero = np.float32(0.0)
    for k in range(observation.size):
        flat[k] = np.float32(observation[k])
        zero += flat[k] * np.float32(0.0)  # NaN once a number is not finite
    if num_moments:
        accumulate(carray(pointer_at(packed[31]), (num_moments,), np.float64), flat)
    head = (kind, choice_sizes, low, high, center, reach)
    act(
        parameters,
        table,
        flat,
        mean,
        inverse_std,
        hidden,
        state,
        head,
        sampled != 0,
        np.uint64(key),
        np.uint64(step),
        decoded,
    )
    return bool(zero == 0)


class GymnasiumSimulator:
    """Any environment, stepped through gymnasium.

    The outermost wrappers that only count steps are left out: the loop here resets first and knows
    the limit.

    Args:
        env: the environment.
        observations: how its observations become flat vectors.
        rules: replace a policy's actions while they fire, or None.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        observations: ObservationSpec,
        rules: Rules | None = None,
    ) -> None:
        self.env = env
        self._observations = observations
        self._rules = rules
        self._inner, self._limit = without_limits(env)

    def compile(self, actor: Actor, moments: NDArray[np.float64]) -> None:
        """Compile what an episode of a policy uses, without a step of the environment, which may
        hang.
        """
        space = copy.deepcopy(self._inner.observation_space)
        space.seed(0)
        policy_agent(space, self._observations, actor, 0, moments)(space.sample(), 0)

    def run(
        self,
        actor: Actor,
        seed: int,
        moments: NDArray[np.float64] | None = None,
        max_steps: int | None = None,
        trace: TraceBuffer | None = None,
    ) -> Episode:
        limit = self._limit if max_steps is None else min(self._limit, max_steps)
        return run_episode(
            self._inner, self._observations, actor, seed, moments, limit, self._rules, trace
        )

    def close(self) -> None:
        close(self.env)


def without_limits(env: gymnasium.Env[Any, Any]) -> tuple[gymnasium.Env[Any, Any], int]:
    """An environment without its outermost wrappers that only count steps, and the least of their
    limits.
    """
    limit = UNLIMITED
    while isinstance(env, wrappers.TimeLimit | wrappers.OrderEnforcing):
        if isinstance(env, wrappers.TimeLimit):
            limit = min(limit, env._max_episode_steps)
        env = env.env
    return env, limit
