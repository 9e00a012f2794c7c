"""Augmented random search (Mania, Guy, Recht 2018, arXiv 1803.07055): finite differences along the
best random directions.

V2 scales observations by their running mean and standard deviation, which is the default; V1 does
not (``--no-normalize-observations``). The forms V1-t and V2-t keep the ``--top-directions`` best
directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.ranking import best_first
from esengine.algorithms.strategy import State, check_pairs, check_results
from esengine.candidates import AntitheticPairs, Candidates
from esengine.checks import positive
from esengine.errors import UserError
from esengine.pool.population import Population


@dataclass(frozen=True)
class ARSSettings:
    """Move along the best random directions by their differences of return."""

    antithetic: ClassVar[bool] = True

    population_size: int = 32
    """Members of a generation, two a direction."""
    sigma: float = 0.5
    """Standard deviation of the exploration noise (the paper's nu)."""
    step_size: float = 0.5
    """Step size (the paper's alpha)."""
    top_directions: int | None = None
    """Directions that are kept, those with the best of their two returns; default all."""

    def check(self) -> None:
        """Raises UserError for settings that define no search."""
        positive(self, "sigma", "step_size")
        check_pairs(self.population_size)

        most = self.population_size // 2
        if self.top_directions is not None and not 1 <= self.top_directions <= most:
            raise UserError(
                f"--top-directions must lie between 1 and the {most} pairs of --population-size "
                f"{self.population_size}, "
                f"got {self.top_directions}; leave it out to keep all"
            )

    def strategy(self, initial: NDArray[np.floating], seed: int) -> ARS:
        """A new strategy that starts from ``initial``, (dimension,)."""
        return ARS(self, initial, seed)


class ARS:
    """The strategy. Its state is the mean (the paper's M).

    Fitness enters by its value: an affine change of it changes nothing, an order-preserving one
    does.

    Args:
        settings: checked settings.
        initial: (n,) the first mean; the paper starts from zero.
        seed: the run's seed.
    """

    def __init__(self, settings: ARSSettings, initial: NDArray[np.floating], seed: int) -> None:
        settings.check()
        self.settings, self.seed = settings, seed
        self.population_size = settings.population_size
        self.generation = 0
        self.mean = np.array(initial)

    def ask(self) -> AntitheticPairs:
        return AntitheticPairs(
            self.seed, self.generation + 1, self.population_size, self.settings.sigma, self.mean
        )

    def tell(
        self, candidates: Candidates, fitness: NDArray[np.float64], population: Population
    ) -> None:
        check_results(self, candidates, fitness)
        kept = top_pairs(fitness, self.settings.top_directions, self.seed, candidates.generation)
        weights = np.zeros(self.population_size)
        weights[2 * kept] = step_weights(
            fitness[2 * kept], fitness[2 * kept + 1], self.settings.step_size
        )
        self.mean = self.mean + population.weighted_noise(weights)
        self.generation += 1

    def should_stop(self) -> str | None:
        return None

    def parameters(self) -> NDArray[np.floating]:
        return self.mean

    def metrics(self) -> dict[str, float]:
        return {"sigma": self.settings.sigma}

    def state(self) -> State:
        return {"generation": np.array(self.generation), "mean": self.mean}

    def restore(self, state: State) -> None:
        self.generation, self.mean = int(state["generation"]), state["mean"]


def top_pairs(
    fitness: NDArray[np.float64], most: int | None, seed: int, generation: int
) -> NDArray[np.int64]:
    """The pairs with the best of their two returns, in order of pairs: exactly ``most``, ties drawn
    by seed.

    A pair with a failed member has no difference of returns and is never kept, so there may be
    fewer.
    """
    plus, minus = fitness[::2], fitness[1::2]
    valid = np.isfinite(plus) & np.isfinite(minus)
    best = best_first(np.where(valid, np.maximum(plus, minus), -np.inf), seed, generation)
    return np.sort(best[: min(int(valid.sum()), valid.size if most is None else most)])


def step_weights(
    plus: NDArray[np.float64], minus: NDArray[np.float64], step_size: float
) -> NDArray[np.float64]:
    """alpha / (b sigma_R) (r+ - r-) for each of the b kept directions, (b,); algorithm 2 of the
    paper, step 7.

    sigma_R is the standard deviation of the 2b kept returns. Equal returns, of which it is zero,
    give no step.
    """
    sigma_r = float(np.std(np.concatenate([plus, minus]))) if plus.size else 0.0
    if not sigma_r > 0:
        return np.zeros(plus.size)
    return step_size / (plus.size * sigma_r) * (plus - minus)
