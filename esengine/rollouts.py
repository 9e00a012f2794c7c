"""Running episodes of a gymnasium environment with a compiled policy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.environments.spaces import ObservationSpec
from esengine.policies.network import Actor, act
from esengine.policies.normalizer import accumulate


@dataclass(frozen=True)
class Episode:
    """What one episode gave; equal to another one of the same return and length.

    Attributes:
        episode_return: sum of its rewards.
        num_steps: steps that it lasted.
        at_gate: its return after the gate's steps, or when it ended before; NaN without a gate.
        last_observation: (obs_dim,) flat, of the state that it ended in; None where the simulator does not tell.
    """

    episode_return: float
    num_steps: int
    at_gate: float = field(default=math.nan, compare=False)
    last_observation: NDArray[np.floating] | None = field(default=None, compare=False)


class Gate(NamedTuple):
    """Ends an episode that has a return below ``least`` after ``step`` steps; the default ends none."""

    step: int = 0
    least: float = -math.inf


NO_GATE = Gate()


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
            raise ValueError(f"an observation must have {observations.dim} numbers as {space} declares, got {observation.size}")
        observe_and_act(policy, observation, num_steps)
        observation, reward, terminated, truncated, _ = step(decoded())
        episode_return += float(reward)
        num_steps += 1
        ended = terminated or truncated or num_steps == max_steps
        if ended or num_steps == gate_step:
            if num_steps <= gate_step:
                at_gate = episode_return
            if ended or episode_return < gate.least:
                return Episode(episode_return, num_steps, at_gate, _flat(observations, space, observation))


def _flat(observations: ObservationSpec, space: gymnasium.Space[Any], observation: Any) -> NDArray[Any]:
    return np.asarray(observation, np.float32).ravel() if observations.direct else observations.flat(space, observation)


def packed(actor: Actor, seed: int, moments: NDArray[np.float64] | None) -> NDArray[np.int64]:
    """The arguments of `act` as one array of addresses and sizes, since a call from Python pays for every argument.

    Args:
        actor: the policy, which must live, with the same arrays, as long as the result is used.
        seed: stream of sampled actions.
        moments: see `run_episode`.
    """
    parameters, sizes, mean, inverse_std, hidden, head, sampled, decoded = actor.compiled_arguments
    kind, *bounds = head
    numbers = [kind, sampled, np.uint64(seed).astype(np.int64), hidden.shape[1], 0 if moments is None else moments.size]
    arrays = [parameters, sizes, mean, inverse_std, hidden, *bounds, decoded, *([] if moments is None else [moments])]
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
        parameters, sizes, flat, mean, inverse_std, hidden, head, sampled != 0, np.uint64(key), np.uint64(step), decoded
    )  # fmt: skip
