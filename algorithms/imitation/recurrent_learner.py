"""Fitting a recurrent policy: episodes are kept whole, and gradients reach back a number of steps
(truncated back-propagation through time, Williams & Peng 1990).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from esengine.algorithms.imitation.learner import Examples, Learner
from esengine.demonstrations.trajectories import Trajectory, learned_steps, transitions_of
from esengine.policies.network import PolicySpec


@dataclass(frozen=True)
class Sequences:
    """Whole episodes as tensors in a policy's units.

    Attributes:
        observations: of each episode (num_steps, observation_dim) float32.
        targets: of each (num_steps, num_choices); what they are does not matter where nothing is
            learned.
        learned: of each (num_steps,) bool, the steps that are learned from.
    """

    observations: tuple[Any, ...]
    targets: tuple[Any, ...]
    learned: tuple[Any, ...]

    @classmethod
    def of(
        cls, spec: PolicySpec, trajectories: Sequence[Trajectory], every: int = 1, seed: int = 0
    ) -> Sequences:
        """Return the episodes of which every n-th labelled step is learned from."""
        import torch

        from esengine.policies.torch_network import encode

        columns: list[tuple[Any, Any, Any]] = []
        for index, trajectory in enumerate(trajectories):
            learned = np.zeros(trajectory.num_steps, bool)
            learned[learned_steps(trajectory, index, every, seed)] = True
            known = np.where(trajectory.labelled[:, None], trajectory.targets, trajectory.actions)
            seen = torch.tensor(trajectory.observations[:-1].astype(np.float32))
            columns.append((seen, encode(spec.action, known), torch.tensor(learned)))
        return cls(*zip(*columns, strict=True))

    def __len__(self) -> int:
        return int(sum(int(one.sum()) for one in self.learned))

    def batch(self, episodes: Sequence[int]) -> tuple[Any, Any, Any]:
        """Return observations, targets and learned steps of some episodes, (time, batch, ...), with
        zeros after their ends.
        """
        from torch.nn.utils.rnn import pad_sequence

        parts = (self.observations, self.targets, self.learned)
        observations, targets, learned = (
            pad_sequence([part[episode] for episode in episodes]) for part in parts
        )
        return observations, targets, learned


class RecurrentLearner(Learner):
    """A `Learner` of a recurrent policy from `Sequences`.

    A batch holds as many episodes as make --batch-size steps in parts of --sequence-length. It runs
    over them part by part, with a gradient step after each, and carries their states on.
    """

    def losses(
        self, examples: Sequences, random: np.random.Generator | None = None
    ) -> Iterator[tuple[Any, int]]:
        count = len(examples.observations)
        length = self.settings.sequence_length
        size = math.ceil(self.settings.batch_size / length) or count
        order = np.arange(count) if random is None else random.permutation(count)
        for first in range(0, count, size):
            observations, targets, learned = examples.batch(order[first : first + size].tolist())
            state = None
            for begin in range(0, len(observations), length):
                part = slice(begin, begin + length)
                outputs, state = self.policy.sequence(observations[part], state)
                state = _detached(state)
                here = learned[part]
                if here.any():
                    yield self.loss_of(outputs[here], targets[part][here]), int(here.sum())


def _detached(state: Any) -> Any:
    """The state of a network without its history; that of a user's module may be anything."""
    if isinstance(state, tuple | list):
        return type(state)(_detached(part) for part in state)
    return state.detach() if hasattr(state, "detach") else state


AnyExamples = Examples | Sequences


def examples_of(
    spec: PolicySpec, trajectories: Sequence[Trajectory], every: int = 1, seed: int = 0
) -> AnyExamples:
    """Return what a policy is fitted to: steps, or whole episodes of a recurrent one.

    Args:
        spec: the policy.
        trajectories: what to learn from.
        every, seed: see `Demonstrations.transitions`.
    """
    if spec.is_recurrent:
        return Sequences.of(spec, trajectories, every, seed)
    return Examples.of(spec, transitions_of(trajectories, every, seed))


def make_learner(spec: PolicySpec, *arguments: Any) -> Learner:
    """Return a learner of a policy, with the arguments of `Learner`."""
    return (RecurrentLearner if spec.is_recurrent else Learner)(spec, *arguments)
