"""Novelty search with any strategy (Conti et al. 2018, arXiv 1712.06560): novelty replaces fitness,
or is mixed with it.

The novelty of a member is the mean distance of its behaviour to the nearest behaviours in an
archive. The policy that each generation starts from joins the archive. NS uses only novelty, NSR
the average of the ranks of return and novelty, and NSRA a weighted average. Its weight of the
return rises when the policy improves, and falls when it has not improved for a while. NSRA judges
the policy by the mean of several episodes, so that one lucky episode raises no weight. The paper
keeps several searches and continues one of them at a time; here there is one.
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

_WEIGHT_STEP = 0.05  # the paper's delta_w
_PATIENCE = 50  # the paper's t_w
_BLOCK = 1 << 22  # distances in memory at one time

Kind = Literal["none", "ns", "nsr", "nsra"]


@dataclass(frozen=True)
class NoveltySettings:
    """The settings of novelty search."""

    novelty: Kind = "none"
    """Replace fitness by novelty (ns), the average of both ranks (nsr) or an adaptive average
    (nsra).
    """
    novelty_neighbors: int = 10
    """Number of nearest behaviours in the archive that define novelty by their mean distance."""
    behavior: str | None = None
    """Function of the environment and its last observation that returns the behaviour, as
    module:function; default the last observation.
    """
    behavior_indices: tuple[int, ...] = ()
    """Indices of the last observation that make up the behaviour; default all."""

    def check(self) -> None:
        """Raises UserError for settings that belong together and do not come together."""
        at_least(self, 1, "novelty_neighbors")
        if self.behavior is not None and self.behavior_indices:
            raise UserError(
                "--behavior-indices is of the observation, got --behavior too; drop one of them"
            )


class Novelty:
    """The archive of behaviours and the weight of the return.

    Args:
        kind: ns, nsr or nsra.
        neighbors: number of nearest behaviours.
        size: length of a behaviour.
    """

    def __init__(self, kind: Kind, neighbors: int, size: int) -> None:
        self.kind = kind
        self.neighbors = neighbors
        self.archive = np.zeros((0, size))
        self.weight = {"ns": 0.0, "nsr": 0.5, "nsra": 1.0}[kind]
        self._best = -math.inf
        self._waited = 0  # generations without improvement
        self._shown: dict[str, float] = {}

    def fitness(
        self, returns: NDArray[np.float64], behaviors: NDArray[np.float64], own: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the fitness to tell the strategy instead of the return, (population_size,).

        Failed members keep minus infinity.

        Args:
            returns: (population_size,) fitness of the members, minus infinity if they failed.
            behaviors: (population_size, size).
            own: (size,) behaviour of the policy that the generation starts from; not yet in the
                archive.
        """
        # Novelty
        valid = np.isfinite(returns) & np.isfinite(behaviors).all(axis=1)
        novelty = np.full(returns.size, -math.inf)
        novelty[valid] = mean_distances(behaviors[valid], self._joined(own), self.neighbors)
        if valid.any():
            self._shown = {
                "novelty_mean": float(novelty[valid].mean()),
                "novelty_max": float(novelty[valid].max()),
            }

        # Its mean with the return, by ranks
        if self.weight == 0:
            return novelty
        mixed = self.weight * centred_ranks(returns) + (1 - self.weight) * centred_ranks(novelty)
        return np.where(valid, mixed, -math.inf)

    def tell(self, own: NDArray[np.float64], own_return: float) -> None:
        """End a generation: add its policy to the archive, and adapt the weight of nsra.

        Args:
            own: (size,) behaviour of the policy that the generation started from.
            own_return: its return.
        """
        self.archive = self._joined(own)
        if self.kind != "nsra":
            return

        # The paper's adaptation of w
        self._waited += 1
        if own_return > self._best:
            self._best = own_return
            self._waited = 0
            self.weight = min(1.0, self.weight + _WEIGHT_STEP)
        elif self._waited >= _PATIENCE:
            self._waited = 0
            self.weight = max(0.0, self.weight - _WEIGHT_STEP)

    def _joined(self, own: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the archive with a behaviour added, unless it is not finite."""
        if not np.isfinite(own).all():
            return self.archive
        return np.vstack([self.archive, own[None]])

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
        """Restore the archive of ``state``. Raises ValueError for behaviours of another length."""
        if state["archive"].shape[1:] != self.archive.shape[1:] or state["numbers"].shape != (3,):
            raise ValueError(f"the archive must hold behaviours of {self.archive.shape[1]} numbers")
        self.archive = state["archive"]
        self.weight, self._best, waited = state["numbers"].tolist()
        self._waited = int(waited)


def mean_distances(
    behaviors: NDArray[np.float64], archive: NDArray[np.float64], neighbors: int
) -> NDArray[np.float64]:
    """Return the mean Euclidean distance of each behaviour to its nearest ones in an archive,
    (num_members,).

    The distance to an empty archive is 0.

    Args:
        behaviors: (num_members, size).
        archive: (num_behaviors, size).
        neighbors: number of nearest behaviours; all if the archive has fewer.
    """
    result = np.zeros(len(behaviors))
    count = min(neighbors, len(archive))
    if count == 0:
        return result

    block = max(1, _BLOCK // archive.size)
    for start in range(0, len(behaviors), block):
        apart = behaviors[start : start + block, None] - archive[None]
        squared = np.sort(np.sum(apart**2, axis=2), axis=1)[:, :count]
        result[start : start + block] = np.sqrt(squared).mean(axis=1)
    return result
