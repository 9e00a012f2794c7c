"""Members between two parents: the iso-line variation of MAP-Elites (Vassiliades, Mouret 2018, doi
10.1145/3205455.3205602).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.candidates.contract import Candidates
from esengine.noise import Noise
from esengine.seeding import derive_key, normals


@dataclass(frozen=True)
class LineVariations(Candidates):
    """Members that are varied along the line to a second parent: member = x_i + sigma *
    noise(seed, generation, member) + line_sigma * z * (x_j - x_i), z ~ N(0, 1).

    The rows of the parents travel to every node, each of them once.

    Attributes:
        sigma: standard deviation of the isotropic noise.
        line_sigma: standard deviation of the step along the line, in units of its length.
        parents: (num_parents, dimension) rows, in the problem's precision.
        first: (population_size,) int64, the row x_i of each member.
        second: (population_size,) int64, the row x_j of each member.
    """

    sigma: float
    line_sigma: float
    parents: NDArray[np.floating]
    first: NDArray[np.int64]
    second: NDArray[np.int64]

    @property
    def dimension(self) -> int:
        return int(self.parents.shape[1])

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.floating]:
        return self.chosen_rows(noise, np.arange(start, stop))

    def chosen_rows(self, noise: Noise, members: NDArray[np.int64]) -> NDArray[np.floating]:
        parents = np.array(self.parents)  # for Numba, a mapped array has another type
        first = np.array(self.first[members])
        rows = np.empty((members.size, self.dimension), parents.dtype)
        scales = np.full(members.size, self.sigma, parents.dtype)
        starts = noise.starts(self.seed, self.generation, members)
        noise.perturb(parents, first, starts, scales, rows)

        key = np.uint64(derive_key(self.seed, "line", self.generation))
        steps = (self.line_sigma * normals(key, members)).astype(parents.dtype)
        rows += steps[:, None] * (parents[self.second[members]] - parents[first])
        return rows
