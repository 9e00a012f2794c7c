"""Demonstrations as steps over the whole horizon; after termination the expert is in the absorbing
state.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from esengine.demonstrations import Demonstrations
from esengine.rewards import Steps, trace_of
from esengine.seeding import derive_key, generator


def expert_steps(demonstrations: Demonstrations, horizon: int, every: int, seed: int) -> Steps:
    """Return every n-th labelled step of each demonstration up to the horizon, from a first one
    drawn by the seed.

    A terminated demonstration continues in the absorbing state, so that the reward can depend on
    the length of an episode; see `Steps`.

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
        labelled = trajectory.labelled
        acted = np.where(labelled[:, None], trajectory.targets, trajectory.actions)
        trace = trace_of(replace(trajectory, actions=acted), demonstrations.action)
        steps = np.flatnonzero(labelled[:horizon])[first::every]
        parts.append(Steps.rows(trace, steps, horizon))
    return Steps.of_rows(np.concatenate(parts), demonstrations.observation_dim).known()
