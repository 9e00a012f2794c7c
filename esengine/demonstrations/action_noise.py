"""Noise on recorded actions, and how much an ensemble of policies disagrees about one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.environments.spaces import ActionSpec
from esengine.policies.network import Actor
from esengine.seeding import derive_key, generator


def disagreement(
    actor: Actor, ensemble: NDArray[np.float32], observation: NDArray[np.float32]
) -> float:
    """How much policies disagree about an observation: the mean over choices of the variance of
    what they do.

    A box coordinate is measured in halves of its range, and a discrete choice by the share of those
    that leave the majority.
    """
    action, own = actor.spec.action, actor.parameters
    done = []
    for row in ensemble:
        actor.parameters = row
        done.append(action.flat(actor.act(observation)))
    actor.parameters = own
    choices = np.array(done)
    if action.kind == "box":
        return float((choices / action.reach()).var(axis=0).mean())
    shares = [
        1 - np.unique(column, return_counts=True)[1].max() / len(column) for column in choices.T
    ]

    return float(np.mean(shares))


class ActionNoise:
    """Noise on the actions of one episode.

    Args:
        action: the environment's actions.
        noise, confusion: see `recording.Acting`.
        seed: of the episode.
    """

    def __init__(
        self,
        action: ActionSpec,
        noise: NDArray[np.float64],
        confusion: NDArray[np.float64],
        seed: int,
    ) -> None:
        self._action = action
        self._noise = noise
        self._tables = action.tables(confusion) if confusion.size else []
        self._random = generator(derive_key(seed, "action noise"))

    def __call__(self, done: Any) -> Any:
        """The action with noise; the same object when there is none."""
        if self._noise.size:
            values = self._action.flat(done)
            values = values + self._noise @ self._random.standard_normal(
                values.size
            )  # ~ N(a, A A^T)
            return self._action.unflat(np.clip(values, self._action.low, self._action.high))
        if self._tables:
            options = self._action.options(self._action.flat(done)[None])[0]
            drawn = [
                int(np.searchsorted(np.cumsum(table[option]), self._random.random()))
                for table, option in zip(self._tables, options, strict=True)
            ]
            last = [len(table) - 1 for table in self._tables]
            return self._action.unflat(self._action.from_options(np.minimum(drawn, last)))
        return done
