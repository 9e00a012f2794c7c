"""Running episodes of a gymnasium environment with a compiled policy."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium import wrappers
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.environments.rules import Rules
from esengine.environments.spaces import ActionSpec, ObservationSpec
from esengine.environments.spec import is_mujoco
from esengine.errors import UserError
from esengine.policies.network import Actor, act
from esengine.policies.normalizer import accumulate
from esengine.simulators.contract import NO_GATE, UNLIMITED, Episode, Gate
from esengine.simulators.controls import Controls
from esengine.simulators.dynamics import Transitions
from esengine.simulators.traces import Trace


def run_episode(
    env: gymnasium.Env[Any, Any],
    observations: ObservationSpec,
    actor: Actor,
    seed: int,
    moments: NDArray[np.float64] | None = None,
    max_steps: int | None = None,
    gate: Gate = NO_GATE,
) -> Episode:
    """Run one episode from the start that ``seed`` gives.

    Args:
        env: reset and stepped; left as the episode ends.
        observations: how the environment's observations become flat vectors.
        actor: the policy; a sampled one draws from the stream ``seed``.
        seed: of `env.reset` and of the sampled actions.
        moments: packed observation moments that every acted-on observation is added to, or None.
        max_steps: cut the episode after so many steps, or None to leave that to the environment.
        gate: ends an episode that is not worth going on with.
    """
    space, direct = env.observation_space, observations.direct
    step, decoded, policy = env.step, actor.decoded, packed(actor, seed, moments)
    observation, _ = env.reset(seed=seed)
    episode_return, num_steps, at_gate, gate_step = 0.0, 0, math.nan, gate.step
    while True:
        if not direct or type(observation) is not np.ndarray or observation.ndim != 1:
            observation = _flat(observations, space, observation)
        if observation.size != observations.dim:
            raise ValueError(
                f"an observation must have {observations.dim} numbers as {space} declares, got "
                f"{observation.size}"
            )
        observe_and_act(policy, observation, num_steps)
        observation, reward, terminated, truncated, _ = step(decoded())
        episode_return += float(reward)
        num_steps += 1
        ended = terminated or truncated or num_steps == max_steps
        if ended or num_steps == gate_step:
            if num_steps <= gate_step:
                at_gate = episode_return
            if ended or episode_return < gate.least:
                return Episode(
                    episode_return, num_steps, at_gate, _flat(observations, space, observation)
                )


def _flat(
    observations: ObservationSpec, space: gymnasium.Space[Any], observation: Any
) -> NDArray[Any]:
    return (
        np.asarray(observation, np.float32).ravel()
        if observations.direct
        else observations.flat(space, observation)
    )


def packed(actor: Actor, seed: int, moments: NDArray[np.float64] | None) -> NDArray[np.int64]:
    """The arguments of `act` as one array of addresses and sizes, since a call from Python pays for
    every argument.

    Args:
        actor: the policy, which must live, with the same arrays, as long as the result is used.
        seed: stream of sampled actions.
        moments: see `run_episode`.
    """
    parameters, sizes, mean, inverse_std, hidden, head, sampled, decoded = actor.compiled_arguments
    kind, *bounds = head
    numbers = [
        kind,
        sampled,
        np.uint64(seed).astype(np.int64),
        hidden.shape[1],
        0 if moments is None else moments.size,
    ]
    arrays = [
        parameters,
        sizes,
        mean,
        inverse_std,
        hidden,
        *bounds,
        decoded,
        *([] if moments is None else [moments]),
    ]
    for array in arrays:
        numbers += [array.__array_interface__["data"][0], array.size]
    return np.array(numbers, np.int64)


@intrinsic
def _pointer(typing_context: Any, address: Any) -> Any:
    """An address as a pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


@kernel
def observe_and_act(packed: NDArray[np.int64], observation: NDArray[Any], step: int) -> None:
    """Round the observation to float32, add it to the moments, and call `act`, all in one call.

    Args:
        packed: from the function of that name.
        observation: (obs_dim,) of any number type.
        step: number of the step in its episode.
    """
    kind, sampled, key, width, num_moments = packed[0], packed[1], packed[2], packed[3], packed[4]
    parameters = carray(_pointer(packed[5]), (packed[6],), np.float32)
    sizes = carray(_pointer(packed[7]), (packed[8],), np.int64)
    mean = carray(_pointer(packed[9]), (packed[10],), np.float32)
    inverse_std = carray(_pointer(packed[11]), (packed[12],), np.float32)
    hidden = carray(_pointer(packed[13]), (2, width), np.float32)
    choice_sizes = carray(_pointer(packed[15]), (packed[16],), np.int64)
    low = carray(_pointer(packed[17]), (packed[18],), np.float64)
    high = carray(_pointer(packed[19]), (packed[20],), np.float64)
    center = carray(_pointer(packed[21]), (packed[22],), np.float64)
    reach = carray(_pointer(packed[23]), (packed[24],), np.float64)
    decoded = carray(_pointer(packed[25]), (packed[26],), np.float64)
    flat = hidden[1][: observation.size]  # free until the first layer's outputs are written there
    for k in range(observation.size):
        flat[k] = np.float32(observation[k])
    if num_moments:
        accumulate(carray(_pointer(packed[27]), (num_moments,), np.float64), flat)
    head = (kind, choice_sizes, low, high, center, reach)
    act(
        parameters,
        sizes,
        flat,
        mean,
        inverse_std,
        hidden,
        head,
        sampled != 0,
        np.uint64(key),
        np.uint64(step),
        decoded,
    )


class GymnasiumSimulator:
    """Any environment, stepped through gymnasium.

    The outermost wrappers that only count steps are left out: the loop here resets first and knows
    the limit.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], observations: ObservationSpec) -> None:
        self.env, self._observations = env, observations
        self._inner, self._limit = env, UNLIMITED
        while isinstance(self._inner, wrappers.TimeLimit | wrappers.OrderEnforcing):
            if isinstance(self._inner, wrappers.TimeLimit):
                self._limit = min(self._limit, self._inner._max_episode_steps)
            self._inner = self._inner.env

    def run(
        self,
        actor: Actor,
        seed: int,
        moments: NDArray[np.float64] | None = None,
        max_steps: int | None = None,
        gate: Gate = NO_GATE,
    ) -> Episode:
        limit = self._limit if max_steps is None else min(self._limit, max_steps)
        return run_episode(self._inner, self._observations, actor, seed, moments, limit, gate)

    def close(self) -> None:
        self.env.close()


class SteppedDynamics:
    """Any environment that has ``get_state()`` and ``set_state(state)``, or that runs on MuJoCo,
    stepped one by one.

    ``get_state`` returns a vector of floats from which ``set_state`` lets the environment go on
    exactly.

    Args:
        env: its own copy of the environment; wrappers are stepped with it, apart from limits of
            time.
        name: for errors.

    Raises:
        UserError: see `make_dynamics`.
    """

    smooth = True

    def __init__(self, env: gymnasium.Env[Any, Any], name: str) -> None:
        self._mujoco = is_mujoco(env)
        if not self._mujoco and not (
            hasattr(env.unwrapped, "get_state") and hasattr(env.unwrapped, "set_state")
        ):
            raise UserError(
                f"a planner needs an environment whose state can be set, and {name} has none; "
                f"give its class get_state() and "
                "set_state(state), or take a MuJoCo or classic control task"
            )
        self._env: Any = env
        while isinstance(
            self._env, gymnasium.wrappers.TimeLimit | gymnasium.wrappers.OrderEnforcing
        ):
            self._env = self._env.env
        self._controls = Controls(env, name)
        self.low, self.high, self.smooth = (
            self._controls.low,
            self._controls.high,
            self._controls.smooth,
        )
        env.reset(seed=0)
        self.state_size = self.num_coordinates = self.state_of(env).size

    def state_of(self, env: gymnasium.Env[Any, Any]) -> NDArray[np.float64]:
        task: Any = env.unwrapped
        if not self._mujoco:
            return np.array(task.get_state(), np.float64).ravel()
        import mujoco

        state = np.empty(mujoco.mj_stateSize(task.model, mujoco.mjtState.mjSTATE_INTEGRATION))
        mujoco.mj_getState(task.model, task.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        return state

    def action_of(self, control: NDArray[np.float64]) -> Any:
        return self._controls.action(control)

    def control_of(self, action: Any) -> NDArray[np.float64]:
        return self._controls.control(action)

    def step(self, states: NDArray[np.float64], controls: NDArray[np.float64]) -> Transitions:
        after, rewards, terminated = (
            np.array(states),
            np.empty(len(states)),
            np.empty(len(states), np.bool_),
        )
        for i, (state, control) in enumerate(zip(states, controls, strict=True)):
            self._set(state)
            _, rewards[i], terminated[i], _, _ = self._env.step(self.action_of(control))
            after[i] = self.state_of(self._env)
        return Transitions(after, rewards, terminated)

    def returns(
        self, state: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        returns = np.zeros(len(controls))
        for i, sequence in enumerate(controls):
            self._set(state)
            for control in sequence:
                _, reward, terminated, _, _ = self._env.step(self.action_of(control))
                returns[i] += float(reward)
                if terminated:
                    break
        return returns

    def _set(self, state: NDArray[np.float64]) -> None:
        task: Any = self._env.unwrapped
        if not self._mujoco:
            task.set_state(state.copy())
            return
        import mujoco

        for settle in (
            True,
            False,
        ):  # what follows from a position is computed, then the solver's warm start put back
            mujoco.mj_setState(task.model, task.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
            if settle:
                mujoco.mj_forward(task.model, task.data)


class GymnasiumTracer:
    """Any environment, stepped through gymnasium, under rules if there are any.

    Args:
        env: the environment.
        observations: how its observations become flat vectors.
        action: how its actions become numbers.
        rules: step in while the policy acts.
        horizon: most steps of an episode.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        observations: ObservationSpec,
        action: ActionSpec,
        rules: Rules,
        horizon: int,
    ) -> None:
        self._env, self._spec, self._action, self._rules = env, observations, action, rules
        self._observations = np.empty((horizon + 1, observations.dim), np.float32)
        self._choices, self._rewards = np.empty((horizon, len(action.sizes))), np.empty(horizon)

    def run(self, actor: Actor, seed: int, moments: NDArray[np.float64]) -> Trace:
        observation, _ = self._env.reset(seed=seed)
        total, steps, terminated, truncated = 0.0, 0, False, False
        while not (terminated or truncated or steps == len(self._choices)):
            flat = self._flat(observation)
            if moments.size:
                accumulate(moments, flat)
            done, correction = actor.act(flat, seed, steps), self._rules.correction(observation)
            done = done if correction is None else correction
            values = self._action.flat(done)
            self._observations[steps] = flat
            self._choices[steps] = (
                values if self._action.kind == "box" else self._action.options(values[None])[0]
            )
            observation, gained, terminated, truncated, _ = self._env.step(done)
            self._rewards[steps] = gained
            total += float(gained)
            steps += 1
        self._observations[steps] = self._flat(observation)
        kept = (self._observations[: steps + 1], self._choices[:steps], self._rewards[:steps])
        return Trace(*kept, total, bool(terminated))

    def _flat(self, observation: Any) -> NDArray[np.float32]:
        space = self._env.observation_space
        flat = self._spec.flat(space, observation)
        if flat.size != self._spec.dim:
            raise ValueError(
                f"an observation must have {self._spec.dim} numbers as {space} declares, got "
                f"{flat.size}"
            )
        return flat

    def close(self) -> None:
        self._env.close()


class ShieldedSimulator:
    """Any environment, stepped through gymnasium, where the action of the first rule that fires
    replaces the policy's.

    Args:
        env: the environment.
        observations: how its observations become flat vectors.
        rules: given the observation as the environment gives it.
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], observations: ObservationSpec, rules: Rules
    ) -> None:
        self.env, self._observations, self._rules = env, observations, rules

    def run(
        self,
        actor: Actor,
        seed: int,
        moments: NDArray[np.float64] | None = None,
        max_steps: int | None = None,
        gate: Gate = NO_GATE,
    ) -> Episode:
        """One episode, with the arguments of `stepped.run_episode`."""
        space = self.env.observation_space
        observation, _ = self.env.reset(seed=seed)
        episode_return, num_steps, at_gate, ended = 0.0, 0, math.nan, False
        while not ended:
            flat = self._observations.flat(space, observation)
            if moments is not None:
                accumulate(moments, flat)
            action, correction = (
                actor.act(flat, seed, num_steps),
                self._rules.correction(observation),
            )
            observation, reward, terminated, truncated, _ = self.env.step(
                action if correction is None else correction
            )
            episode_return += float(reward)
            num_steps += 1
            ended = terminated or truncated or num_steps == max_steps
            if num_steps == gate.step or (ended and num_steps < gate.step):
                at_gate = episode_return
                ended = ended or episode_return < gate.least
        return Episode(
            episode_return, num_steps, at_gate, self._observations.flat(space, observation)
        )

    def close(self) -> None:
        self.env.close()
