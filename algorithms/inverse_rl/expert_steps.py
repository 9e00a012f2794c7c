"""Demonstrations as steps over the whole horizon; after termination the expert is in the absorbing
state.
"""

from __future__ import annotations

import numpy as np

from esengine.demonstrations.trajectories import Demonstrations, Trajectory
from esengine.rewards.sampling import Steps
from esengine.seeding import derive_key, generator


def expert_steps(demonstrations: Demonstrations, horizon: int, every: int, seed: int) -> Steps:
    """Return every n-th step of each demonstration up to the horizon, from a first one drawn by the
    seed.

    A truncated demonstration stops at its end. A terminated one continues in the absorbing state,
    so that the reward can depend on the length of an episode.

    Args:
        demonstrations: of the expert.
        horizon: number of steps of an episode.
        every: n.
        seed: the run's seed.
    """
    parts = []
    for index, trajectory in enumerate(demonstrations.trajectories):
        first = 0
        if every > 1:
            first = int(generator(derive_key(seed, "subsample"), index).integers(every))
        steps = over_horizon(trajectory, demonstrations, horizon)
        parts.append(steps.at(np.arange(first, steps.num_steps, every)))
    return Steps.joined(parts)


def over_horizon(trajectory: Trajectory, demonstrations: Demonstrations, horizon: int) -> Steps:
    """Return the labelled steps of one demonstration, at most ``horizon``."""
    action = demonstrations.action
    taken = min(trajectory.num_steps, horizon)
    ended = trajectory.terminated and taken == trajectory.num_steps
    size = horizon if ended else taken

    # Observations; the absorbing state is zeros
    absorbing = np.arange(size) >= taken
    next_absorbing = absorbing | (ended & (np.arange(size) == taken - 1))
    seen = np.zeros((size + 1, demonstrations.observation_dim), np.float32)
    known = taken if ended else taken + 1
    seen[:known] = trajectory.observations[:known]

    # Actions of the expert
    labelled = trajectory.labelled[:taken]
    actions = np.where(labelled[:, None], trajectory.targets[:taken], trajectory.actions[:taken])
    choices = np.zeros((size, len(action.sizes)))
    choices[:taken] = actions if action.kind == "box" else action.options(actions)

    steps = Steps(seen[:-1], seen[1:], choices, absorbing, np.asarray(next_absorbing))
    return steps.at(np.flatnonzero(np.concatenate([labelled, np.ones(size - taken, bool)])))
