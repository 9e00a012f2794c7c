"""Demonstrations as steps over the whole horizon; after termination the expert is in the absorbing
state.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from esengine.demonstrations import Demonstrations, Trajectory
from esengine.rewards import Steps, trace_of
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
    labelled = trajectory.labelled
    acted = np.where(labelled[:, None], trajectory.targets, trajectory.actions)
    trace = trace_of(replace(trajectory, actions=acted), demonstrations.action)
    size = min(trajectory.num_steps, horizon)
    known = labelled[:size]
    if trajectory.terminated and trajectory.num_steps < horizon:
        known = np.concatenate([known, np.ones(horizon - size, bool)])
    return Steps.of_rows(Steps.rows(trace, np.flatnonzero(known)), demonstrations.observation_dim)
