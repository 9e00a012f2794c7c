"""Demonstrations as steps over the whole horizon: after the end of the task the expert is in the
absorbing state.
"""

from __future__ import annotations

import numpy as np

from esengine.demonstrations.trajectories import Demonstrations, Trajectory
from esengine.rewards.sampling import Steps
from esengine.seeding import derive_key, generator


def expert_steps(demonstrations: Demonstrations, horizon: int, every: int, seed: int) -> Steps:
    """One step in ``every`` of each demonstration, from a first one drawn by seed, up to the
    horizon.

    A demonstration that a limit cut stops there; one whose task ended goes on in the absorbing
    state, so that an expert that lives long and one that ends soon are told apart as their members
    are.
    """
    parts = []
    for index, trajectory in enumerate(demonstrations.trajectories):
        first = (
            int(generator(derive_key(seed, "subsample"), index).integers(every)) if every > 1 else 0
        )
        steps = over_horizon(trajectory, demonstrations, horizon)
        parts.append(steps.at(np.arange(first, steps.num_steps, every)))
    return Steps.joined(parts)


def over_horizon(trajectory: Trajectory, demonstrations: Demonstrations, horizon: int) -> Steps:
    """The steps of one demonstration, at most ``horizon``."""
    action, taken = demonstrations.action, min(trajectory.num_steps, horizon)
    ended = trajectory.terminated and taken == trajectory.num_steps
    size = horizon if ended else taken
    absorbing = np.arange(size) >= taken
    seen = np.zeros((size + 1, demonstrations.observation_dim), np.float32)
    known = taken if ended else taken + 1
    seen[:known] = trajectory.observations[:known]
    choices = np.zeros((size, len(action.sizes)))
    actions = np.where(
        trajectory.labelled[:taken, None], trajectory.targets[:taken], trajectory.actions[:taken]
    )
    choices[:taken] = actions if action.kind == "box" else action.options(actions)
    next_absorbing = absorbing | (ended & (np.arange(size) == taken - 1))
    steps = Steps(seen[:-1], seen[1:], choices, absorbing, np.asarray(next_absorbing))
    asked = np.concatenate([trajectory.labelled[:taken], np.ones(size - taken, bool)])
    return steps.at(np.flatnonzero(asked))
