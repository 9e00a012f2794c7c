"""Goal-conditioned environments: gymnasium's goal API, and what an episode teaches about the goals
that it did reach.

An observation is a dictionary of ``observation``, ``achieved_goal`` and ``desired_goal``, and
``compute_reward(achieved_goal, desired_goal, info)`` says what having achieved one goal is worth
while another one is desired (Plappert et al. 2018, arXiv 1802.09464). An episode of any such
environment is therefore also an episode in which another goal was desired.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from esengine.demonstrations import Trajectory
from esengine.environments import name_of
from esengine.errors import UserError

_PARTS = ("observation", "achieved_goal", "desired_goal")


@dataclass(frozen=True)
class GoalLayout:
    """Where goals lie in flat observations.

    Attributes:
        achieved, desired: first number of each in a flat observation.
        size: numbers of a goal.
    """

    achieved: int
    desired: int
    size: int

    @classmethod
    def of(cls, env: gymnasium.Env[Any, Any]) -> GoalLayout:
        """Raises UserError for an environment without gymnasium's goal API."""
        space = env.observation_space
        parts = space.spaces if isinstance(space, spaces.Dict) else {}
        if not (set(_PARTS) <= set(parts) and hasattr(env.unwrapped, "compute_reward")):
            raise UserError(
                f"goals need an environment with gymnasium's goal API (observations with "
                f"{', '.join(_PARTS)}, and "
                f"compute_reward), {name_of(env)} has none; for example esengine/PointMaze-v0"
            )
        starts, first = {}, 0

        for key, part in parts.items():
            starts[key], first = first, first + spaces.utils.flatdim(part)

        return cls(
            starts["achieved_goal"],
            starts["desired_goal"],
            spaces.utils.flatdim(parts["desired_goal"]),
        )

    def achieved_of(self, observations: NDArray[Any]) -> NDArray[Any]:
        """The goals that are achieved in flat observations, (..., size)."""
        return observations[..., self.achieved : self.achieved + self.size]

    def aimed(self, observations: NDArray[Any], goals: NDArray[Any]) -> NDArray[Any]:
        """Flat observations in which ``goals``, (size,) or one each, are desired instead."""
        aimed: NDArray[Any] = np.array(observations)
        aimed[..., self.desired : self.desired + self.size] = goals
        return aimed


def check_settable(env: gymnasium.Env[Any, Any]) -> None:
    """Raises UserError for an environment, which was reset, whose goal cannot be set."""
    if not (hasattr(env.unwrapped, "set_goal") or hasattr(env.unwrapped, "goal")):
        raise UserError(
            f"goals must be settable, by set_goal(goal) or an attribute goal, {name_of(env)} has "
            f"neither; add one"
        )


def reset_to(env: gymnasium.Env[Any, Any], seed: int, goal: NDArray[np.float64] | None) -> Any:
    """Reset an environment, aim at ``goal`` instead of its own unless that is None, and return the
    observation.
    """
    observation, _ = env.reset(seed=seed)
    if goal is None:
        return observation
    task: Any = env.unwrapped
    desired = np.asarray(observation["desired_goal"])
    aim = goal.astype(desired.dtype).reshape(desired.shape)
    if hasattr(task, "set_goal"):
        task.set_goal(aim.copy())
    else:
        task.goal = aim.copy()
    return {**observation, "desired_goal": aim}


def is_success(info: dict[str, Any]) -> bool:
    """Whether a step's info says that the goal is reached; Gymnasium-Robotics has two names for
    it.
    """
    return bool(info.get("is_success", info.get("success", False)))


def relabelled(
    trajectory: Trajectory, env: gymnasium.Env[Any, Any], goal: NDArray[np.float64]
) -> Trajectory:
    """The same episode as if ``goal`` had been desired, its rewards those of the environment's
    `compute_reward`.

    It ends where `compute_terminated`, if the environment has it, says so.

    Args:
        trajectory: of the environment.
        env: gives the rewards; it is not stepped.
        goal: (goal_size,).
    """
    layout, task = GoalLayout.of(env), env.unwrapped
    achieved = layout.achieved_of(trajectory.observations)[1:]
    wanted = np.asarray(goal, np.float64)
    rewards = np.array([float(task.compute_reward(one, wanted, {})) for one in achieved])  # type: ignore[attr-defined]
    ends = getattr(task, "compute_terminated", lambda *_: False)
    last = next((t for t, one in enumerate(achieved) if ends(one, wanted, {})), None)
    count = trajectory.num_steps if last is None else last + 1

    return replace(
        trajectory,
        observations=layout.aimed(trajectory.observations, wanted)[: count + 1],
        actions=trajectory.actions[:count],
        rewards=rewards[:count],
        terminated=last is not None
        or (trajectory.terminated and not hasattr(task, "compute_terminated")),
        truncated=last is None and (trajectory.truncated or trajectory.terminated),
        labels=None if trajectory.labels is None else trajectory.labels[:count],
    )
