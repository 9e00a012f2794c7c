"""Novelty search beside any strategy (Conti et al. 2018, arXiv 1712.06560): fitness is replaced by,
or mixed with, novelty.

The novelty of a member is the mean distance of its behaviour to the nearest ones in an archive,
which the policy that each generation starts from joins. NS follows novelty alone, NSR the average
of the ranks of return and novelty, NSRA a weighted one, whose weight rises when the policy improves
and falls when it has not for a while. The paper keeps several searches and goes on with one of them
at a time; here there is one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.ranking import centred_ranks
from esengine.algorithms.strategy import State
from esengine.checks import at_least
from esengine.errors import UserError

_WEIGHT_STEP, _PATIENCE = 0.05, 50  # the paper's delta_w and t_w
_BLOCK = 1 << 22  # distances that are in memory at one time

Kind = Literal["none", "ns", "nsr", "nsra"]


@dataclass(frozen=True)
class NoveltySettings:
    """What members are rewarded for beside their return."""

    novelty: Kind = "none"
    """Follow novelty (ns), its average with the return's ranks (nsr), or a mix that adapts (nsra).
    """
    novelty_neighbors: int = 10
    """Nearest behaviours in the archive that novelty is the mean distance to."""
    behavior: str | None = None
    """What novelty is measured on, as module:function of the environment and its last observation;
    default that observation.
    """
    behavior_indices: tuple[int, ...] = ()
    """Numbers of the last observation that make up the behaviour; default all."""

    def check(self) -> None:
        """Raises UserError for settings that belong together and do not come together."""
        at_least(self, 1, "novelty_neighbors")
        if self.novelty == "none" and (self.behavior is not None or self.behavior_indices):
            raise UserError(
                "--behavior and --behavior-indices belong to --novelty, got none; use --novelty nsr"
            )
        if self.behavior is not None and self.behavior_indices:
            raise UserError(
                "--behavior-indices is of the observation, got --behavior too; drop one of them"
            )


class Novelty:
    """The archive, and the weight of the return.

    Args:
        kind: ns, nsr or nsra.
        neighbors: number of nearest behaviours.
        size: numbers of a behaviour.
    """

    def __init__(self, kind: Kind, neighbors: int, size: int) -> None:
        self.kind, self.neighbors = kind, neighbors
        self.archive = np.zeros((0, size))
        self.weight = {"ns": 0.0, "nsr": 0.5, "nsra": 1.0}[kind]
        self._best, self._waited = -math.inf, 0
        self._shown: dict[str, float] = {}

    def fitness(
        self, returns: NDArray[np.float64], behaviors: NDArray[np.float64], own: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """What the strategy is told instead of the return, (population_size,); failed members stay
        at minus infinity.

        Args:
            returns: (population_size,) fitness of the members, minus infinity where they failed.
            behaviors: (population_size, size).
            own: (size,) behaviour of the policy that the generation starts from; not yet in the
                archive.
        """
        valid = np.isfinite(returns) & np.isfinite(behaviors).all(axis=1)
        novelty = np.full(returns.size, -math.inf)
        archive = np.vstack([self.archive, own[None]]) if np.isfinite(own).all() else self.archive
        novelty[valid] = mean_distances(behaviors[valid], archive, self.neighbors)
        if valid.any():
            self._shown = {
                "novelty_mean": float(novelty[valid].mean()),
                "novelty_max": float(novelty[valid].max()),
            }
        if self.weight == 0:
            return novelty
        mixed = self.weight * centred_ranks(returns) + (1 - self.weight) * centred_ranks(novelty)
        return np.where(valid, mixed, -math.inf)

    def tell(self, own: NDArray[np.float64], own_return: float) -> None:
        """End a generation: its policy joins the archive, and the weight of nsra follows its
        return.
        """
        if np.isfinite(own).all():
            self.archive = np.vstack([self.archive, own[None]])
        if self.kind != "nsra":
            return
        if own_return > self._best:
            self._best, self._waited = own_return, 0
            self.weight = min(1.0, self.weight + _WEIGHT_STEP)
            return
        self._waited += 1
        if self._waited >= _PATIENCE:
            self.weight, self._waited = max(0.0, self.weight - _WEIGHT_STEP), 0

    def metrics(self) -> dict[str, float]:
        """Numbers for the generation's row."""
        return {
            **self._shown,
            "return_weight": self.weight,
            "archive_size": float(len(self.archive)),
        }

    def state(self) -> State:
        return {
            "archive": self.archive,
            "numbers": np.array([self.weight, self._best, self._waited]),
        }

    def restore(self, state: State) -> None:
        """Go on with the archive of `state`. Raises ValueError if its behaviours are of another
        size.
        """
        if state["archive"].shape[1:] != self.archive.shape[1:] or state["numbers"].shape != (3,):
            raise ValueError(f"the archive must hold behaviours of {self.archive.shape[1]} numbers")
        self.archive = state["archive"]
        self.weight, self._best = (float(number) for number in state["numbers"][:2])
        self._waited = int(state["numbers"][2])


def mean_distances(
    behaviors: NDArray[np.float64], archive: NDArray[np.float64], neighbors: int
) -> NDArray[np.float64]:
    """Mean Euclidean distance of each behaviour to its nearest ones in the archive, (num_members,);
    0 to an empty archive.

    Args:
        behaviors: (num_members, size).
        archive: (num_behaviors, size).
        neighbors: number of nearest ones; all, if the archive has fewer.
    """
    result, count = np.zeros(len(behaviors)), min(neighbors, len(archive))
    if count == 0:
        return result
    block = max(1, _BLOCK // archive.size)
    for start in range(0, len(behaviors), block):
        apart = behaviors[start : start + block, None] - archive[None]
        squared = np.sort(np.sum(apart**2, axis=2), axis=1)[:, :count]
        result[start : start + block] = np.sqrt(squared).mean(axis=1)
    return result
