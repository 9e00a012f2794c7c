"""Intelligent trial and error (Cully, Clune, Tarapore, Mouret 2015, "Robots that can adapt like
animals", doi 10.1038/nature14422): the elite of an archive that works best where something has
changed, found in few trials.

A Gaussian process over the measures of the elites predicts how each does now. Its prior mean is the
fitness in the archive. The next trial is of the elite with the highest upper confidence bound, and
the search ends when the best trial is nearly as good as the best prediction. Fitness is taken in
units of the best elite's, so that one set of constants fits every task; the paper's is in m/s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.quality_diversity.gaussian_process import GaussianProcess
from esengine.algorithms.strategy import State, check_results
from esengine.candidates import Candidates, GivenPoints
from esengine.checks import at_least, not_negative, positive, within
from esengine.errors import UserError
from esengine.pool.population import Population
from esengine.problems.search_space import SearchSpace
from esengine.repertoires import Repertoire, load_archive


@dataclass(frozen=True)
class TrialAndErrorSettings:
    """Find the elite of an archive that works best in a changed environment, in few trials."""

    antithetic: ClassVar[bool] = False
    defaults: ClassVar[dict[str, Any]] = {
        "normalize_observations": False,
        "generations": 20,
        "eval_every": 0,
        "final_episodes": 1,
        "max_failed_fraction": 1.0,
    }

    init_archive: Path | None = None
    """The archive to choose from: its file, or the run directory that holds it."""
    population_size: int = 1
    """Trials per generation; the later ones are chosen as if the former had gone as predicted."""
    kernel_width: float = 0.4
    """How far a trial reaches to other elites, in units of the ranges of the measures (rho)."""
    trial_noise: float = 0.001
    """Variance of a trial, in units of the best elite's squared fitness."""
    exploration: float = 0.05
    """Standard deviations that are added to a prediction when the next trial is chosen (kappa)."""
    enough: float = 0.9
    """The search ends when the best trial has this share of the best prediction (alpha)."""

    def check(self) -> None:
        """Raises UserError for settings that define no search."""
        if self.init_archive is None:
            raise UserError(
                "--init-archive must name an archive of map-elites, cma-me or cma-mae, got none; "
                "for example --init-archive runs/walks"
            )
        at_least(self, 1, "population_size")
        positive(self, "kernel_width", "trial_noise")
        not_negative(self, "exploration")
        within(self, 0, 1, "enough")

    def archive(self) -> Repertoire:
        """The archive. Raises UserError if there is none, or no elite has a useful fitness."""
        self.check()
        assert self.init_archive is not None
        archive = load_archive(self.init_archive)
        if not archive.fitness.max() > archive.least_fitness:
            raise UserError(
                f"--init-archive must have an elite above its least useful fitness "
                f"{archive.least_fitness:g}, got {archive.fitness.max():g} at best; use an archive "
                f"with a lower --least-fitness"
            )
        return archive

    def strategy(self, initial: NDArray[np.floating], seed: int) -> TrialAndError:
        """A new strategy; ``initial`` is (dimension,) of the members."""
        archive = self.archive()
        return TrialAndError(self, archive, archive.solutions, initial, seed)

    def strategy_in(
        self, space: SearchSpace, initial: NDArray[np.floating], seed: int
    ) -> TrialAndError:
        """A new strategy for the points of a search space."""
        archive = self.archive()
        width = archive.solutions.shape[1]
        if archive.policy is not None or width != space.fixed.size:
            return TrialAndError(self, archive, archive.solutions, initial, seed)
        points = np.asarray(archive.solutions, np.float64)
        return TrialAndError(self, archive, space.rows(points), initial, seed)


class TrialAndError:
    """The strategy. Its state is what was tried, and what came of it.

    Args:
        settings: checked settings.
        archive: whose elites are tried.
        rows: (num_elites, dimension) the elites as members.
        initial: (dimension,).
        seed: the run's seed.

    Raises:
        UserError: the elites have another number of parameters than members have.
    """

    varying_state: ClassVar[tuple[str, ...]] = ()
    may_fail: ClassVar[bool] = True

    def __init__(
        self,
        settings: TrialAndErrorSettings,
        archive: Repertoire,
        rows: NDArray[np.floating],
        initial: NDArray[np.floating],
        seed: int,
    ) -> None:
        if rows.shape[1] != initial.size:
            raise UserError(
                f"--init-archive must have solutions of {initial.size} parameters, got "
                f"{rows.shape[1]}; use an archive of the same policy or objective"
            )
        self.settings = settings
        self.seed = seed
        self.generation = 0
        self._archive = archive
        self._rows = np.asarray(rows, np.float64)
        self._dtype = initial.dtype
        self._least = archive.least_fitness
        self._unit = float(archive.fitness.max()) - self._least
        self._tried = np.zeros(0, np.int64)
        self._outcomes = np.zeros(0)
        self._take_trials()

    def _take_trials(self) -> None:
        """Take what was tried into account."""
        self._process = self._learned()
        left = len(self._rows) - self._tried.size
        self.population_size = min(self.settings.population_size, max(1, left))

    def _learned(self) -> GaussianProcess:
        """The process after all trials that did not fail."""
        settings = self.settings
        prior = (self._archive.fitness - self._least) / self._unit
        points = self._archive.scaled_measures()
        process = GaussianProcess(points, prior, settings.kernel_width, settings.trial_noise)
        for elite, outcome in zip(self._tried.tolist(), self._outcomes.tolist(), strict=True):
            if math.isfinite(outcome):
                process.observe(elite, (outcome - self._least) / self._unit)
        return process

    def _chosen(self) -> NDArray[np.int64]:
        """The elites to try next; each of them once."""
        process, chosen = self._learned(), []
        free = np.ones(len(self._rows), bool)
        free[self._tried] = False
        for _ in range(self.population_size):
            bound = process.mean + self.settings.exploration * np.sqrt(process.variance)
            elite = int(np.argmax(np.where(free, bound, -np.inf)))
            free[elite] = False
            process.observe(elite, float(process.mean[elite]))
            chosen.append(elite)
        return np.array(chosen, np.int64)

    def ask(self) -> Candidates:
        generation = self.generation + 1
        return GivenPoints(self.seed, generation, self.population_size, self._rows[self._chosen()])

    def tell(
        self, candidates: Candidates, fitness: NDArray[np.float64], population: Population
    ) -> None:
        check_results(self, candidates, fitness)
        self._tried = np.append(self._tried, self._chosen())
        self._outcomes = np.append(self._outcomes, fitness)
        self._take_trials()
        self.generation += 1

    def should_stop(self) -> str | None:
        if self._tried.size == len(self._rows):
            return "every elite of the archive was tried"
        best = self._best_outcome()
        if best is not None and best >= self._least + self.settings.enough * self._expected():
            return f"a trial has {self.settings.enough:g} of the best prediction"
        return None

    def _best_outcome(self) -> float | None:
        """The best trial's fitness, None if none has succeeded."""
        known = self._outcomes[np.isfinite(self._outcomes)]
        return float(known.max()) if known.size else None

    def _expected(self) -> float:
        """By how much the best prediction exceeds the least useful fitness."""
        return float(self._process.mean.max()) * self._unit

    def parameters(self) -> NDArray[np.floating]:
        """The row of the best trial; before any has succeeded, that of the best elite."""
        elite = self._archive.best()
        if self._best_outcome() is not None:
            elite = int(self._tried[np.argmax(self._outcomes)])
        return self._rows[elite].astype(self._dtype)

    def metrics(self) -> dict[str, Any]:
        """The best trial and the best prediction; ``sigma`` is the mean standard deviation of the
        predictions; all in units of fitness.
        """
        spread = float(np.sqrt(self._process.variance).mean())
        return {
            "trials": int(self._tried.size),
            "best_trial": self._best_outcome(),
            "best_prediction": self._least + self._expected(),
            "sigma": spread * self._unit,
        }

    def state(self) -> State:
        return {
            "generation": np.array(self.generation),
            "tried": self._tried.copy(),
            "outcomes": self._outcomes.copy(),
        }

    def restore(self, state: State) -> None:
        """Become the strategy that gave ``state``. Raises ValueError if the state contradicts
        itself.
        """
        tried, outcomes = state["tried"], state["outcomes"]
        known = np.unique(tried)
        inside = not known.size or (known[0] >= 0 and known[-1] < len(self._rows))
        if known.size < tried.size or tried.size != outcomes.size or not inside:
            raise ValueError("the trials must be of different elites of the archive")
        self.generation = int(state["generation"])
        self._tried = tried.astype(np.int64)
        self._outcomes = outcomes.astype(np.float64)
        self._take_trials()
