"""Hindsight as supervised learning (Ghosh et al. 2021, "GCSL", arXiv 1912.06088).

Every step of an episode is an example of how to reach each goal that the episode achieved later.
Hindsight replay (Andrychowicz et al. 2017, arXiv 1707.01495) needs a critic that learns from other
policies' steps. Evolution has no critic, and supervised learning needs none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.imitation.learner import Examples, Learner, LearnerSettings
from esengine.demonstrations.trajectories import Trajectory, Transitions
from esengine.goals.goal_api import GoalLayout
from esengine.policies.network import PolicySpec
from esengine.seeding import derive_key, generator

_LEARNER = LearnerSettings(batch_size=256)


def hindsight_transitions(
    trajectories: Sequence[Trajectory], layout: GoalLayout, random: np.random.Generator
) -> Transitions:
    """Return every step of the trajectories once, aimed at a goal that its episode achieved at a
    later step, drawn uniformly. Rewards are 0.
    """
    parts = []
    for trajectory in trajectories:
        count = trajectory.num_steps
        steps = np.arange(count)
        later = steps + 1 + np.floor(random.random(count) * (count - steps)).astype(np.int64)
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
    """Return a policy after passes of supervised learning from hindsight, (num_parameters,).

    Args:
        spec: the policy's architecture.
        parameters: (num_parameters,) of the policy before.
        scaling: mean and inverse standard deviation of observations.
        trajectories: what to learn from.
        layout: where goals are in observations.
        passes: number of passes over all steps; each draws its goals anew.
        seed: the run's seed.
        generation: the generation; the seed and it determine all that is drawn.
    """
    first = np.asarray(parameters, np.float32)
    learner = Learner(spec, _LEARNER, derive_key(seed, "hindsight", generation), scaling, first)
    random = generator(derive_key(seed, "hindsight goals", generation))
    for _ in range(passes):
        transitions = hindsight_transitions(trajectories, layout, random)
        learner.epoch(Examples.of(learner.spec, transitions))
    return learner.parameters()
