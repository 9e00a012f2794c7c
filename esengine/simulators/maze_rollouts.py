"""Point mazes in compiled code: episodes, steps of many states, and returns of control
sequences.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.environments.maze_physics import observe, step
from esengine.policies.network import act
from esengine.policies.normalizer import accumulate


@kernel
def steps(
    walls: NDArray[np.bool_],
    dense: bool,
    states: NDArray[np.float64],
    actions: NDArray[np.float64],
    rewards: NDArray[np.float64],
    reached: NDArray[np.bool_],
) -> None:
    """Advance each of ``states`` (n, 6) in place by its action (n, 2), writing rewards and ends
    (n,).
    """
    for i in range(len(states)):
        rewards[i], reached[i] = step(walls, dense, states[i], actions[i])


@kernel
def returns(
    walls: NDArray[np.bool_], dense: bool, start: NDArray[np.float64], actions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns (n,) of the sequences ``actions`` (n, horizon, 2) from ``start`` (6,)."""
    totals, state = np.zeros(len(actions)), np.empty(6)
    for i in range(len(actions)):
        state[:] = start
        for t in range(actions.shape[1]):
            reward, reached = step(walls, dense, state, actions[i, t])
            totals[i] += reward
            if reached:
                break
    return totals


@kernel
def rollout(
    walls: NDArray[np.bool_],
    dense: bool,
    state: NDArray[np.float64],
    seed: np.uint64,
    done: int,
    max_steps: int,
    policy: Any,
    moments: NDArray[np.float64],
    observation: NDArray[np.float32],
) -> tuple[float, int, bool]:
    """Go on from ``state`` (6,), which is advanced; returns the return, the steps, and whether the
    goal was reached.

    Args:
        walls: (rows, columns).
        dense: see `step`.
        seed: the stream of sampled actions.
        done: steps that it has taken already.
        max_steps: after which it is cut.
        policy: `Actor.compiled_arguments`.
        moments: packed observation moments to add to, or an empty array.
        observation: (8,) float32, left as the last observation.
    """
    parameters, sizes, mean, inverse_std, hidden, head, sampled, decoded = policy
    total = 0.0
    for count in range(done, max_steps):
        observe(state, observation)
        if moments.size:
            accumulate(moments, observation)
        act(
            parameters,
            sizes,
            observation,
            mean,
            inverse_std,
            hidden,
            head,
            sampled,
            seed,
            np.uint64(count),
            decoded,
        )
        for k in range(2):
            decoded[k] = np.float64(np.float32(decoded[k]))  # as the environment takes it
        reward, reached = step(walls, dense, state, decoded)
        total += reward
        if reached:
            observe(state, observation)
            return total, count + 1 - done, True
    observe(state, observation)
    return total, max_steps - done, False
