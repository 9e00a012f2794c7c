"""The training loop of quality diversity: the strategy is also given the measures of its members,
and the archive is saved with every checkpoint.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.quality_diversity.search import RepertoireSearch
from esengine.algorithms.quality_diversity.settings import ArchiveSettings
from esengine.algorithms.strategy import Strategy
from esengine.candidates import Candidates
from esengine.errors import UserError, listed
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.runs.saving import Snapshot
from esengine.launch.settings.config import RunConfig
from esengine.launch.training.loop import Callback
from esengine.launch.training.problem_from_settings import AnyProblem, trained_policy
from esengine.launch.training.strategy_loop import StrategyTraining
from esengine.pool import Pool, Population
from esengine.problems import EnvironmentProblem, ObjectiveProblem
from esengine.problems.columns import ARRAY, columns_of
from esengine.problems.evaluations import Evaluations
from esengine.repertoires import Repertoire


class RepertoireTraining(StrategyTraining):
    """The loop over generations of a strategy with an archive."""

    method: RepertoireSearch

    def __init__(
        self,
        pool: Pool,
        config: RunConfig,
        directory: RunDirectory | None,
        method: Strategy,
        callbacks: tuple[Callback, ...],
    ) -> None:
        super().__init__(pool, config, directory, method, callbacks)
        search: Any = config.search
        self._names, self._places = measures_of(self.problem, search)

    def tell(
        self,
        candidates: Candidates,
        fitness: NDArray[np.float64],
        evaluations: Evaluations,
        population: Population,
    ) -> None:
        size = candidates.population_size
        if self._places is None:
            measures = evaluations.arrays["behavior"]
        else:
            measures = evaluations.arrays[ARRAY][:, self._places]
        self.method.meet(np.asarray(measures[:size], np.float64))
        super().tell(candidates, fitness, evaluations, population)

    def snapshot(self) -> Snapshot:
        snapshot = super().snapshot()
        archive = self.method.archive
        if not archive.cells.size:
            return snapshot
        return replace(snapshot, archive=self._repertoire())

    def _repertoire(self) -> Repertoire:
        """The archive as it is now, copied."""
        search: ArchiveSettings = self.config.search  # type: ignore[assignment]
        archive = self.method.archive
        cells = archive.cells
        rows = archive.rows[cells]
        policy = None
        if isinstance(self.problem, ObjectiveProblem):
            solutions = np.array(self.problem.points(rows), np.float64)
        else:
            solutions = rows.astype(np.float32)
            policy = trained_policy(self.problem, solutions[0])
        return Repertoire(
            search.archive,
            self._names,
            tuple(search.ranges),
            search.shape,
            search.least_fitness,
            cells.copy(),
            archive.fitness.copy(),
            archive.measures.copy(),
            1 + archive.counts[cells],
            solutions,
            archive.centroids,
            policy,
        )


def check_repertoire(config: RunConfig, problem: AnyProblem) -> None:
    """Raises UserError for a problem whose members an archive cannot hold."""
    search = config.search
    assert isinstance(search, ArchiveSettings)
    columns = columns_of(problem)
    if columns is not None and columns.constraints.size:
        raise UserError(
            f"--returns must name no constraints with {config.method}, whose elites would not keep "
            f"them, got {columns.others[columns.constraints[0]].name}; use a measure, as m:name"
        )
    measures_of(problem, search)
    check_elites(config, problem)


def check_elites(config: RunConfig, problem: AnyProblem) -> None:
    """Raises UserError for episodes in which elites of different generations would not act, or
    be judged, in the same way.
    """
    if not isinstance(problem, EnvironmentProblem):
        return
    if problem.normalize_observations:
        raise UserError(
            f"--normalize-observations must be off with {config.method}, since elites of different "
            f"generations share one scaling, got on; use --no-normalize-observations"
        )
    if problem.limits.cap is not None:
        raise UserError(
            f"--episode-cap must be left out with {config.method}, whose elites keep their "
            f"fitness, got {config.train.episode_cap}; drop it"
        )


def measures_of(
    problem: AnyProblem, search: ArchiveSettings
) -> tuple[tuple[str, ...], NDArray[np.int64] | None]:
    """The names of the measures and their places among the columns, or None if they are the
    behaviour. Raises UserError unless there is one for each of ``--measure-ranges``.
    """
    behavior = getattr(problem, "behavior", None)
    columns = columns_of(problem)
    if behavior is not None and not search.measures:
        count = behavior.size
        names = tuple(f"behavior {number}" for number in range(count))
        places = None
    else:
        kinds = {} if columns is None else {each.name: each.kind for each in columns.others}
        names = search.measures or tuple(name for name in kinds if kinds[name] == "measure")
        unknown = [name for name in names if kinds.get(name) != "measure"]
        if unknown or not names:
            found = listed([name for name in kinds if kinds[name] == "measure"]) or "none"
            raise UserError(
                f"the measures must be columns m:name of --returns, or --behavior of an "
                f"environment, got {listed(unknown) or 'neither'}; the columns are {found}"
            )
        count = len(names)
        order = list(kinds)
        places = np.array([order.index(name) for name in names], np.int64)
    if count != search.num_measures:
        raise UserError(
            f"--measure-ranges must give two numbers for each measure, got "
            f"{len(search.measure_ranges)} for {listed(names)}; give {2 * count}"
        )
    return names, places
