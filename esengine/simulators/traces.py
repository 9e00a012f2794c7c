"""The results of episodes, and traces: what a policy saw, did and got at every step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.environments.spec import limit_of
from esengine.errors import NotFiniteError, counted


@dataclass(frozen=True)
class Episode:
    """The result of one episode; equal to another one of the same return and length.

    Attributes:
        episode_return: sum of its rewards.
        num_steps: its length.
        terminated: whether the task itself ended, in contrast to an episode that is cut.
        last_observation: (obs_dim,) flat, of its last state, overwritten by the next episode; None
            if the simulator does not return it.
        truncated: whether a limit of steps cut it, where the environment itself is stepped.
        info: of its last step, where the environment itself is stepped.
    """

    episode_return: float
    num_steps: int
    terminated: bool = field(default=False, compare=False)
    last_observation: NDArray[np.floating] | None = field(default=None, compare=False)
    truncated: bool = field(default=False, compare=False)
    info: Mapping[str, Any] | None = field(default=None, compare=False)


def check_finite(episode: Episode, moments: NDArray[np.float64] | None = None) -> None:
    """Raises NotFiniteError for an episode with a number that is not finite.

    Args:
        episode: its return and its last observation are checked.
        moments: packed observation moments, which are finite if all observations were, or None.
    """
    if not math.isfinite(episode.episode_return):
        raise NotFiniteError(
            f"the rewards of an episode must be finite, got a return of {episode.episode_return}"
        )
    if episode.last_observation is not None:
        check_observation(episode.last_observation, episode.num_steps)
    if moments is not None and not np.isfinite(moments).all():
        raise NotFiniteError("the observations of an episode must be finite, got one that is not")


def check_observation(observation: NDArray[np.floating], step: int) -> None:
    """Raises NotFiniteError for an observation that is not finite in float32, as policies see it.

    Args:
        observation: (obs_dim,) flat.
        step: number of steps before it in its episode.
    """
    with np.errstate(over="ignore"):
        finite = np.isfinite(observation.astype(np.float32))
    if not finite.all():
        index = int(np.argmin(finite))
        raise NotFiniteError(
            f"an observation must be finite in float32, got {observation[index]} as number "
            f"{index} after {counted(step, 'step')}"
        )


class Trace(NamedTuple):
    """The steps of one episode.

    Attributes:
        observations: (num_steps + 1, obs_dim) float32, including the one after the last action.
        choices: (num_steps, num_choices) float64, the actions as the kernel `policies.act` writes
            them.
        rewards: (num_steps,) float64, the environment's own.
        episode_return: their sum.
        terminated: whether the task itself ended, in contrast to an episode that is cut.
    """

    observations: NDArray[np.float32]
    choices: NDArray[np.float64]
    rewards: NDArray[np.float64]
    episode_return: float
    terminated: bool


class TraceBuffer:
    """Room for the steps of one episode, which `Simulator.run` fills.

    Args:
        horizon: most steps of an episode.
        observation_dim: numbers of an observation.
        num_choices: numbers of an action.

    Attributes:
        arrays: observations, choices and rewards as in `Trace`, with room for ``horizon`` steps.
    """

    def __init__(self, horizon: int, observation_dim: int, num_choices: int) -> None:
        self.arrays = (
            np.empty((horizon + 1, observation_dim), np.float32),
            np.empty((horizon, num_choices)),
            np.empty(horizon),
        )

    def trace(self, episode: Episode) -> Trace:
        """The trace of the episode that has just been run; the next one overwrites its arrays."""
        observations, choices, rewards = self.arrays
        steps = episode.num_steps
        return Trace(
            observations[: steps + 1],
            choices[:steps],
            rewards[:steps],
            episode.episode_return,
            episode.terminated,
        )


@kernel
def keep_step(
    observations: NDArray[np.float32],
    all_choices: NDArray[np.float64],
    rewards: NDArray[np.float64],
    step: int,
    observation: NDArray[np.float32],
    choices: NDArray[np.floating],
    reward: float,
) -> None:
    """Write one step into the arrays of a trace.

    Args:
        observations, all_choices, rewards: `TraceBuffer.arrays`.
        step: its number.
        observation: (obs_dim,) before the action.
        choices: (num_choices,) the action.
        reward: of the step.
    """
    observations[step] = observation
    rewards[step] = reward
    for k in range(choices.size):
        all_choices[step, k] = choices[k]


def horizon_of(env: gymnasium.Env[Any, Any], max_episode_steps: int | None) -> int | None:
    """The most steps of an episode, or None if nothing limits them."""
    limits = [limit_of(env), max_episode_steps]
    return min((limit for limit in limits if limit is not None), default=None)
