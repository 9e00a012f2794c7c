"""OpenAI-ES: follow an estimated gradient of the fitness ranks (Salimans et al. 2017, arXiv
1703.03864).

Members come in antithetic pairs, mean + sigma * noise_k and mean - sigma * noise_k, which meet the
same start states. sigma stays as it is; an optimiser moves the mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.optimizers import OptimizerSettings, make_optimizer
from esengine.algorithms.evolution.ranking import centred_ranks, pair_differences
from esengine.algorithms.strategy import State, check_pairs, check_results
from esengine.candidates import AntitheticPairs, Candidates
from esengine.checks import positive
from esengine.pool.population import Population


@dataclass(frozen=True)
class OpenAIESSettings(OptimizerSettings):
    """Follow the gradient of the fitness ranks, estimated from antithetic pairs."""

    antithetic: ClassVar[bool] = True

    population_size: int = 256
    """Members of a generation, two a pair."""
    sigma: float = 0.5
    """Standard deviation of every parameter."""

    def check(self) -> None:
        """Raises UserError for settings that define no search."""
        super().check()
        positive(self, "sigma")
        check_pairs(self.population_size)

    def strategy(self, initial: NDArray[np.floating], seed: int) -> OpenAIES:
        """A new strategy that starts from ``initial``, (dimension,)."""
        return OpenAIES(self, initial, seed)


class OpenAIES:
    """The strategy. Its state is the mean and the optimiser's moments.

    The gradient is g = (1 / lambda) sum_i u_i s_i noise_i with centred ranks u_i in [-1/2, 1/2] and
    the member's sign s_i. That is sigma times the estimated gradient of the mean utility (Salimans
    et al., section 2, without the 1 / sigma), so it has no unit, and learning rates have the unit
    of the parameters. Weight decay is decoupled from it.

    Args:
        settings: checked settings.
        initial: (n,) the first mean.
        seed: the run's seed.
    """

    def __init__(
        self, settings: OpenAIESSettings, initial: NDArray[np.floating], seed: int
    ) -> None:
        settings.check()
        self.settings, self.seed = settings, seed
        self.population_size = settings.population_size
        self.generation = 0
        self.mean = np.array(initial)
        self.optimizer = make_optimizer(settings, settings.sigma, self.mean)

    def ask(self) -> AntitheticPairs:
        return AntitheticPairs(
            self.seed, self.generation + 1, self.population_size, self.settings.sigma, self.mean
        )

    def tell(
        self, candidates: Candidates, fitness: NDArray[np.float64], population: Population
    ) -> None:
        check_results(self, candidates, fitness)
        gradient = population.weighted_noise(
            pair_differences(centred_ranks(fitness)) / self.population_size
        )
        decayed = self.mean * (1 - self.settings.weight_decay)
        self.mean = decayed + self.optimizer.step(gradient)
        self.generation += 1

    def should_stop(self) -> str | None:
        return None

    def parameters(self) -> NDArray[np.floating]:
        return self.mean

    def metrics(self) -> dict[str, float]:
        return {"sigma": self.settings.sigma}

    def state(self) -> State:
        moments = {f"optimizer/{name}": array for name, array in self.optimizer.state().items()}
        return {"generation": np.array(self.generation), "mean": self.mean, **moments}

    def restore(self, state: State) -> None:
        self.generation = int(state["generation"])
        self.mean = state["mean"]
        self.optimizer.restore(
            {name[10:]: array for name, array in state.items() if name.startswith("optimizer/")}
        )
