"""The best point of an objective: what is known of it, kept, evaluated again and written."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.errors import WorkerError
from esengine.launch.settings.train_settings import TrainSettings
from esengine.launch.training.constraints import Constraints
from esengine.launch.training.metric_columns import episode_returns, mean_return
from esengine.launch.training.noisy_best import Best, NoisyBest
from esengine.launch.training.problem_from_settings import policy_episodes
from esengine.launch.training.restoring import check_shape
from esengine.pool import Pool
from esengine.problems import ObjectiveProblem
from esengine.problems.columns import ARRAY, Columns, columns_of


class ObjectiveBest:
    """The best point of an objective so far.

    Args:
        pool: evaluates points.
        problem: the objective.
        train: the settings of the run.
        constraints: of the objective, or None.

    Attributes:
        point: of an objective without noise, (dimension,), or None before the first one.
        noisy: the best of an objective with noise; None without noise.
        final: the best with noise, evaluated by fresh seeds at the end of the run.
    """

    def __init__(
        self,
        pool: Pool,
        problem: ObjectiveProblem,
        train: TrainSettings,
        constraints: Constraints | None,
    ) -> None:
        self._pool = pool
        self._problem = problem
        self._train = train
        self._constraints = constraints
        self._columns: Columns | None = columns_of(problem)
        self._numbers: NDArray[np.float64] | None = None  # columns of the point
        self.point: NDArray[np.float64] | None = None
        self.noisy: NoisyBest | None = None
        self.final: Best | None = None
        if problem.is_noisy:
            num_columns = 0 if self._columns is None else len(self._columns.others)
            self.noisy = NoisyBest(problem.dimension, num_columns)

    @property
    def shown(self) -> Best:
        """A noisy objective's best row with what it was found to be worth."""
        assert self.noisy is not None
        return self.final or self.noisy.shown

    @property
    def fitness_with_noise(self) -> float | None:
        """The fitness of a noisy objective's best feasible row, or None before the first one."""
        assert self.noisy is not None
        best = self.noisy.best
        return best.fitness if best.num_evaluations and not best.violation else None

    @property
    def violation(self) -> float:
        """The sum of squared violations of the best point."""
        assert self._constraints is not None
        return self._constraints.best_violation if self.noisy is None else self.shown.violation

    def columns(self) -> dict[str, float] | None:
        """The columns of the best point by their names, or None."""
        numbers = self._numbers if self.noisy is None else self.shown.columns
        if self._columns is None or numbers is None:
            return None
        names = (column.name for column in self._columns.others)
        return dict(zip(names, numbers.tolist(), strict=True))

    def take(self, best: Best) -> None:
        """Keep a row of the search as the best one."""
        self.point = self.point_of(best.row)
        self._numbers = best.columns

    def value(self, fitness: float | None) -> tuple[float | None, NDArray[np.float64] | None, int]:
        """Value and point of the best, and the evaluations that the value is a mean of; None for
        what there is not.

        Args:
            fitness: the best of the run's members.
        """
        if self._constraints is not None:
            fitness = self._constraints.best_fitness
        point = self.point
        count = 1
        if self.noisy is not None:
            row, fitness, count, *_ = self.shown
            point = self.point_of(row) if count else None
        if point is None or fitness is None:
            return None, None, 0
        return -fitness if self._train.minimize else fitness, point, count

    def point_of(self, row: NDArray[np.floating]) -> NDArray[np.float64]:
        """The point of the objective that a row of the search stands for."""
        return np.array(self._problem.points(row[None])[0], np.float64)

    def again(self, row: NDArray[np.floating]) -> Best:
        """A row with as many evaluations as an evaluation of the run takes."""
        return self._evaluated(row, self._train.eval_episodes, "evaluation")

    def conclude(self) -> None:
        """Evaluate a noisy objective's best by fresh seeds. A resumed run has to find the state as
        it was, so this is no part of it.
        """
        if self.noisy is not None:
            best = self.noisy.better(self.again)
            if best.num_evaluations:
                self.final = self._evaluated(best.row, self._train.final_episodes, "final")

    def renewed(self, before: float) -> float | None:
        """The fitness of the best point now: as it was before but for rounding, or another one,
        which a warning says. None, and no best point, if the evaluation fails.
        """
        assert self.point is not None
        space = self._problem.space
        row = self.point if space is None else space.rows(self.point[None])[0]
        try:
            now = self._evaluated(row, 1, "evaluation").fitness
        except WorkerError:  # the next generation reports what it raises
            now = -math.inf
        if math.isclose(now, before, rel_tol=1e-6, abs_tol=1e-12):
            return before

        sign = -1 if self._train.minimize else 1
        found = f"is {sign * now:.6g}" if math.isfinite(now) else "fails"
        warnings.warn(
            f"the objective {found} at the best point so far, where it was "
            f"{sign * before:.6g}; the best value begins anew; restore its code and data to get "
            f"the old result, or give a random objective a parameter seed",
            stacklevel=2,
        )
        if math.isfinite(now):
            return now
        self.point = None
        return None

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What a checkpoint holds of an objective without noise."""
        if self.noisy is not None or self.point is None:
            return {}
        arrays = {"point": self.point.copy()}
        if self._numbers is not None:
            arrays["columns"] = self._numbers.copy()
        return arrays

    def restore(self, arrays: dict[str, Any], shape: tuple[int, ...]) -> None:
        """The inverse of `arrays`. Raises UserError for arrays of another shape."""
        self.point = arrays.get("point")
        if self.point is None:
            return
        check_shape("best/point", self.point, shape)
        if self._columns is not None and self.noisy is None:
            self._numbers = arrays["columns"]
            check_shape("best/columns", self._numbers, (len(self._columns.others),))

    def record(self, fitness: float | None, parameters: NDArray[Any]) -> dict[str, Any] | None:
        """What ``best.json`` holds, or None before the first point.

        Args:
            fitness: see `value`.
            parameters: the point that the search has reached.
        """
        value, point, num_evaluations = self.value(fitness)
        if point is None:
            return None
        best: dict[str, Any] = {"value": value, "point": point, "parameters": parameters}
        if self._train.variable_names:
            best["variables"] = dict(zip(self._train.variable_names, point.tolist(), strict=True))
        if self.noisy is not None:
            best["evaluations"] = num_evaluations
            best["standard_error"] = self.shown.standard_error
        columns = self.columns()
        if columns is not None:
            best["columns"] = columns
        if self._constraints is not None:
            best["feasible"] = self.violation == 0
        return best

    def _evaluated(self, row: NDArray[np.floating], count: int, purpose: str) -> Best:
        """A row with the mean of new evaluations."""
        evaluations = self._pool.evaluate(policy_episodes(self._train, row, count, purpose))
        records = evaluations.records
        values = episode_returns(records)
        mean = mean_return(values)
        fitness = -math.inf if mean is None else mean
        valid = values[~np.isnan(values)]
        error = float(valid.std(ddof=1) / math.sqrt(valid.size)) if valid.size > 1 else math.nan
        best = Best(row, fitness, int(records["episodes"].sum()), standard_error=error)
        if ARRAY not in evaluations.arrays:
            return best

        numbers = np.asarray(evaluations.arrays[ARRAY][np.isfinite(evaluations.fitness)])
        numbers = numbers.mean(axis=0) if len(numbers) else np.full(numbers.shape[1], np.nan)
        violation = 0.0 if self._constraints is None else self._constraints.violation_of(numbers)
        return best._replace(
            columns=numbers, violation=math.inf if math.isnan(violation) else violation
        )
