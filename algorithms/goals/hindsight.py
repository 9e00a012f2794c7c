"""Hindsight as supervised learning (Ghosh et al. 2021, "GCSL", arXiv 1912.06088): what was done was
right for what it led to.

Every step of an episode is an example of how to reach each goal that the episode achieved later.
Hindsight replay (Andrychowicz et al. 2017, arXiv 1707.01495) needs a critic that learns from other
policies' steps, which evolution has not; supervised learning does without one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.imitation.behavior_cloning import Examples, Learner, LearnerSettings
from esengine.demonstrations.trajectories import Trajectory, Transitions
from esengine.goals.goal_api import GoalLayout
from esengine.policies.network import PolicySpec
from esengine.seeding import derive_key, generator

_LEARNER = LearnerSettings(batch_size=256)


def hindsight_transitions(
    trajectories: Sequence[Trajectory], layout: GoalLayout, random: np.random.Generator
) -> Transitions:
    """Every step of the trajectories once, aimed at a goal that its episode achieved at a later
    step, drawn uniformly.

    Rewards are not needed, and 0.
    """
    parts = []
    for trajectory in trajectories:
        count = trajectory.num_steps
        later = (
            np.arange(count)
            + 1
            + np.floor(random.random(count) * (count - np.arange(count))).astype(np.int64)
        )
        goals = layout.achieved_of(trajectory.observations)[later]
        before, after = (
            layout.aimed(part, goals)
            for part in (trajectory.observations[:-1], trajectory.observations[1:])
        )
        parts.append((before, after, trajectory.actions))
    before, after, actions = (np.concatenate(column) for column in zip(*parts, strict=True))
    count = len(actions)
    rest = (np.zeros(count), np.zeros(count, bool), np.zeros(count, np.int64))
    return Transitions(before, after, actions, actions, *rest)


def improved(
    spec: PolicySpec,
    parameters: NDArray[np.floating],
    scaling: tuple[NDArray[np.float32], NDArray[np.float32]],
    trajectories: Sequence[Trajectory],
    layout: GoalLayout,
    passes: int,
    seed: int,
    generation: int,
) -> NDArray[np.float32]:
    """A policy after passes of supervised learning from hindsight, (num_parameters,).

    Args:
        spec: its architecture.
        parameters: (num_parameters,) where it starts.
        scaling: mean and inverse standard deviation of observations.
        trajectories: what is learned from.
        layout: of observations.
        passes: over all steps; each draws its goals anew.
        seed: of the run.
        generation: of which, with the seed, all that is drawn is a function.
    """
    learner = Learner(
        spec,
        _LEARNER,
        derive_key(seed, "hindsight", generation),
        scaling,
        np.asarray(parameters, np.float32),
    )
    random = generator(derive_key(seed, "hindsight goals", generation))
    for _ in range(passes):
        learner.epoch(
            Examples.of(learner.spec, hindsight_transitions(trajectories, layout, random))
        )
    return learner.parameters()
