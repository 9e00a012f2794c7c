"""The training loop of a strategy: ask, evaluate, tell."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.reliability import Reliability
from esengine.algorithms.evolution.restarts import RestartedSearch
from esengine.algorithms.novelty import Novelty
from esengine.algorithms.strategy import Strategy
from esengine.candidates import Candidates, PolicyEpisodes, RepeatedPopulation, WithPoint
from esengine.errors import UserError, WorkerError
from esengine.launch.runs.result import RunResult
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.runs.saving import Snapshot
from esengine.launch.settings.config import RunConfig
from esengine.launch.training.constraints import Constraints, members_alone
from esengine.launch.training.loop import Callback, Training
from esengine.launch.training.metric_columns import episode_returns, generation_row, mean_return
from esengine.launch.training.noisy_best import Best, NoisyBest
from esengine.launch.training.open_generations import OpenGenerations
from esengine.launch.training.problem_from_settings import is_noisy, policy_episodes
from esengine.launch.training.restoring import (
    Groups,
    check_finished,
    check_shape,
    restore_part,
)
from esengine.launch.training.starting_sigma import StartingSigma
from esengine.pool import Pool, Population, Submitted
from esengine.problems import EnvironmentProblem, ObjectiveProblem
from esengine.problems.columns import ARRAY, columns_of
from esengine.problems.evaluations import Evaluations
from esengine.storage import Checkpoint


class Rows(Protocol):
    """The parameters of the members of a generation, see `Population`."""

    def row(self, member: int) -> NDArray[np.floating]: ...

    def rows(self) -> NDArray[np.floating]: ...


class StrategyTraining(Training):
    """The loop over generations, for policies and for objectives."""

    keeps_best = True
    method: Strategy

    def __init__(
        self,
        pool: Pool,
        config: RunConfig,
        directory: RunDirectory | None,
        method: Strategy,
        callbacks: tuple[Callback, ...],
    ) -> None:
        super().__init__(pool, config, directory, method, callbacks)
        self._initial: NDArray[np.floating] = np.array(method.parameters(), self.problem.dtype)
        self.best_point: NDArray[np.float64] | None = None  # of a deterministic objective
        self.best_columns: NDArray[np.float64] | None = None  # of this point
        self.novelty: Novelty | None = None
        self._start: StartingSigma | None = None
        self._noisy_best: NoisyBest | None = None
        self._final_best: Best | None = None  # evaluated at the end of the run, by fresh seeds
        self._open = OpenGenerations(pool, self.train.lag)

        columns = columns_of(self.problem)
        self._constraints: Constraints | None = None
        if columns is not None and columns.constraints.size:
            self._constraints = Constraints(columns, self.problem.dimension)
        if self._constraints is not None and self.train.lag:
            raise UserError(
                f"--lag must be 0 with constraints, whose penalty follows the newest mean, got "
                f"{self.train.lag}"
            )
        if self._constraints is not None and getattr(config.search, "surrogate", "none") != "none":
            raise UserError(
                "--surrogate must be used without constraints, whose penalty changes with the "
                "generation, got constraints; use --surrogate none"
            )
        if isinstance(self.problem, ObjectiveProblem) and self.problem.is_noisy:
            num_columns = 0 if columns is None else len(columns.others)
            self._noisy_best = NoisyBest(self.problem.dimension, num_columns)
            if getattr(config.search, "surrogate", "none") != "none":
                raise UserError(
                    "--surrogate must be used with an objective without noise, got one with a "
                    "parameter seed; use --surrogate none"
                )
            if self.train.target_return is not None and not self.train.eval_every:
                raise UserError(
                    "--target-return needs evaluations of a noisy objective, got --eval-every 0; "
                    "use 10"
                )

        self._reliability: Reliability | None = None
        if self._constraints is None and is_noisy(self.train, self.problem):
            self._reliability = Reliability()
        elif self._constraints is not None and self.train.noise == "on":
            raise UserError(
                "--noise on must be used without constraints, whose penalty changes with the "
                "generation, got constraints; use --noise auto"
            )

        if isinstance(self.problem, EnvironmentProblem):
            if self.problem.behavior is not None and self.train.novelty != "none":
                size = self.problem.behavior.size
                self.novelty = Novelty(self.train.novelty, self.train.novelty_neighbors, size)
            if StartingSigma.is_needed(config):
                self._start = StartingSigma(config, self.problem, self._initial)

    @property
    def keeps_members(self) -> bool:
        """Whether files of all members are kept."""
        return self.train.keep_members and self.directory is not None

    def begin(self) -> None:
        """Resume, or begin a new run, for which a step size is found."""
        super().begin()
        if self._start is not None and math.isnan(self._start.sigma):
            self.count(*self._start.find(self.pool))
            self._restart()

    def _restart(self) -> None:
        """Make the strategy anew, with the step size that was found."""
        assert self._start is not None
        config = self.config
        if self._start.sigma > 0:
            config = config.with_search(sigma=self._start.sigma)
        self.method = config.strategy(self._initial, noisy=is_noisy(self.train, self.problem))

    def renew(self, has_changed: bool) -> None:
        """Do it for what is the best; that of an objective is evaluated at every resume, since its
        value may depend on more than its code.
        """
        before = self.counters["best_fitness"]
        super().renew(has_changed)
        if has_changed:
            self.forget_results()
        if has_changed and self._constraints is not None:
            self._constraints.forget()
        if has_changed and self._noisy_best is not None:
            self._noisy_best.renew(self._evaluated_again)
            self._count_noisy_best()
        now = before
        if self.best_point is not None and before is not None:
            now = self.counters["best_fitness"] = self._renewed(self.best_point, before)
            if self._constraints is not None and now is None:
                self._constraints.forget()
            elif self._constraints is not None and now is not None:
                self._constraints.best_fitness = now
        if (has_changed or now != before) and isinstance(self.method, RestartedSearch):
            self.method.forget_best()

    def _renewed(self, point: NDArray[np.float64], before: float) -> float | None:
        """The fitness of an objective's best point now: as it was before but for rounding, or
        another one, which a warning says. None, and no best point, if the evaluation fails.
        """
        assert isinstance(self.problem, ObjectiveProblem)
        space = self.problem.space
        row = point if space is None else space.rows(point[None])[0]
        try:
            now = self._evaluated(row, 1, "evaluation").fitness
        except WorkerError:  # the next generation reports what it raises
            now = -math.inf
        if math.isclose(now, before, rel_tol=1e-6, abs_tol=1e-12):
            return before

        sign = -1 if self.train.minimize else 1
        found = f"is {sign * now:.6g}" if math.isfinite(now) else "fails"
        warnings.warn(
            f"the objective {found} at the best point so far, where it was "
            f"{sign * before:.6g}; the best value begins anew; restore its code and data to get "
            f"the old result, or give a random objective a parameter seed",
            stacklevel=2,
        )
        if math.isfinite(now):
            return now
        self.best_point = None
        return None

    def prepare(self) -> None:
        """Do what comes before the next population; once it is done, doing it again changes
        nothing.
        """

    def forget_results(self) -> None:
        """Evaluate all members again of which no generation was told."""
        self._finished = {}
        self._open.forget_results()

    def advance(self) -> None:
        self.prepare()
        own = None if self.novelty is None else self._own_episodes(self.novelty)
        with self._watch.part("update"):
            self._open.draw(self.method, self._asked)
        submitted = self._open.evaluate(self._finished, self.train.max_generations)
        evaluations = self.pool.collect(submitted)
        asked = submitted.candidates
        candidates = asked.search_population
        if not np.isfinite(evaluations.fitness).any():
            raise WorkerError(
                f"every member of generation {candidates.generation} failed: no fitness was finite"
            )

        population = self.pool.population()
        fitness = evaluations.fitness
        size = candidates.population_size
        if isinstance(asked, RepeatedPopulation):
            again = fitness[size:]
            fitness = fitness[:size]
        if self.novelty is not None and own is not None:
            own_behavior = own.arrays["behavior"].mean(axis=0)
            fitness = self.novelty.fitness(fitness, evaluations.arrays["behavior"], own_behavior)
        if self._constraints is not None:
            fitness = self._constraints.told(evaluations, self._num_restarts())
        with self._watch.part("update"):
            self.tell(candidates, fitness, evaluations, population)

        # nothing below can be interrupted: a generation is kept whole or not at all
        self._open.close_oldest()
        self._finished = {}
        if self._reliability is not None and isinstance(asked, RepeatedPopulation):
            self._reliability.tell(fitness, asked.repeated, again, asked.common)
        if self.novelty is not None and own is not None:
            self.novelty.tell(own_behavior, float(own.fitness.mean()))
            self.count(int(own.records["steps"].sum()), len(own.records))
        if isinstance(self.problem, EnvironmentProblem):
            self.problem.adapt(asked, evaluations.records)
        self.pool.merge(evaluations)
        self.count_members(evaluations)
        if isinstance(asked, RepeatedPopulation):
            evaluations = members_alone(evaluations, size)
        self.keep_best(evaluations, asked, population)
        if isinstance(asked, WithPoint):
            evaluations = members_alone(evaluations, size)
        self.keep_members(evaluations, population)
        metrics = self.method.metrics()
        for part in (self.novelty, self._constraints):
            metrics |= {} if part is None else part.metrics()
        if self._reliability is not None:
            metrics["reliability"] = self._reliability.value
        self.row = generation_row(
            self.method, self.problem, evaluations, self.counters, metrics, self.pool
        )

    def tell(
        self,
        candidates: Candidates,
        fitness: NDArray[np.float64],
        evaluations: Evaluations,
        population: Population,
    ) -> None:
        """Let the strategy learn from a generation."""
        self.method.tell(candidates, fitness, population)

    def count_members(self, evaluations: Evaluations) -> None:
        """Add a generation to what the run has used."""
        self._watch.add("publish", evaluations.publish_s)
        self._watch.add("evaluate", evaluations.wall_s - evaluations.publish_s)
        records = evaluations.records
        self.count(int(records["steps"].sum()), int(records["episodes"].sum()))

    def next_population(self) -> Submitted:
        """The next generation's population, as `advance` evaluates it."""
        self.prepare()
        self._open.draw(self.method, self._asked)
        return self._open.oldest

    def close_generations(self, keeping_results: bool = False) -> None:
        self._open.keeps_results = keeping_results
        if not keeping_results:
            self._open.give_up()

    @property
    def last_begun(self) -> int:
        return max(super().last_begun, self._open.last_begun)

    def _num_restarts(self) -> int:
        """How often the strategy had restarted by the last generation; 0 where several searches run
        at the same time.
        """
        return 0 if "searches" in self.row else int(self.row.get("restarts", 0))

    def _asked(self, candidates: Candidates) -> Candidates:
        """What is evaluated for a population: also the search's mean if there are constraints, or
        some members twice where noise is measured.
        """
        if self._constraints is not None:
            method = self.method
            search = method.oldest if isinstance(method, RestartedSearch) else method
            point: NDArray[np.floating] = np.array(search.parameters(), self.problem.dtype)
            return WithPoint.of(candidates, point)
        if self._reliability is None:
            return candidates
        return RepeatedPopulation.around(candidates, self.problem.episode_seeds == "generation")

    def judge(self) -> None:
        if isinstance(self.problem, EnvironmentProblem):
            super().judge()
            return
        if self._noisy_best is None:
            return

        with self._watch.part("evaluate_policy"):
            self._noisy_best.judge(self._evaluated_again)
        self._count_noisy_best()

    def conclude(self) -> float | None:
        """Evaluate what the run ends with. A resumed run has to find the state as it was, so a
        noisy objective's final value is no part of it.
        """
        if isinstance(self.problem, EnvironmentProblem):
            return super().conclude()
        if self._noisy_best is not None:
            best = self._noisy_best.better(self._evaluated_again)
            if best.num_evaluations:
                self._final_best = self._evaluated(best.row, self.train.final_episodes, "final")
        return None

    def parameters(self) -> NDArray[np.floating]:
        if isinstance(self.problem, EnvironmentProblem):
            return super().parameters()
        return np.asarray(self.problem.points(self.method.parameters()[None])[0])

    def restore_parts(self, checkpoint: Checkpoint, groups: Groups) -> None:
        if self._start is not None:
            restore_part("start", self._start, groups, self.problem.dimension)
            self._restart()
        if self._noisy_best is not None and "point" in groups["best"]:
            groups["best"] = self._noisy_best.state()  # the objective took no seed before
        super().restore_parts(checkpoint, groups)
        asked = self._asked(self.method.ask())
        self._open.check(checkpoint.generation)
        for finished in (checkpoint.finished, *self._open.results()):
            check_finished(finished, asked.population_size, self.problem)
        self.best_point = groups["best"].get("point")
        if self.best_point is not None:
            check_shape("best/point", self.best_point, self.parameters().shape)
        columns = columns_of(self.problem)
        if columns is not None and self.best_point is not None and self._noisy_best is None:
            self.best_columns = groups["best"]["columns"]
            check_shape("best/columns", self.best_columns, (len(columns.others),))

    def parts(self) -> dict[str, Any]:
        own = {
            "novelty": self.novelty,
            "start": self._start,
            "best": self._noisy_best,
            "constraints": self._constraints,
            "reliability": self._reliability,
            "open": self._open if self.train.lag else None,
        }
        return super().parts() | {name: part for name, part in own.items() if part is not None}

    def snapshot(self) -> Snapshot:
        snapshot = super().snapshot()
        value, point, num_evaluations = self._best()
        if point is None:
            return snapshot
        best: dict[str, Any] = {"value": value, "point": point}
        best["parameters"] = np.array(self.parameters())
        if self.train.variable_names:
            best["variables"] = dict(zip(self.train.variable_names, point.tolist(), strict=True))
        if self._noisy_best is None:
            snapshot.checkpoint.arrays["best/point"] = point.copy()
            if self.best_columns is not None:
                snapshot.checkpoint.arrays["best/columns"] = self.best_columns.copy()
        else:
            best["evaluations"] = num_evaluations
            best["standard_error"] = self._shown().standard_error
        columns = self._columns_of_best()
        if columns is not None:
            best["columns"] = columns
        if self._constraints is not None:
            best["feasible"] = self._violation_of_best() == 0
        return replace(snapshot, best=best)

    def _columns_of_best(self) -> dict[str, float] | None:
        """The columns of the best point by their names, or None."""
        columns = columns_of(self.problem)
        numbers = self.best_columns
        if self._noisy_best is not None:
            numbers = self._shown().columns
        if columns is None or numbers is None:
            return None
        names = (column.name for column in columns.others)
        return dict(zip(names, numbers.tolist(), strict=True))

    def _violation_of_best(self) -> float:
        assert self._constraints is not None
        if self._noisy_best is not None:
            return self._shown().violation
        return self._constraints.best_violation

    def result(self, finished: bool, reason: str, final_return: float | None) -> RunResult:
        value, point, _ = self._best()
        result = super().result(finished, reason, final_return)
        error = None if self._final_best is None else self._final_best.standard_error
        return replace(
            result,
            best_value=value,
            best_point=point,
            standard_error=error,
            choice=self.config.choice,
            best_columns=None if point is None else self._columns_of_best(),
            is_feasible=self._constraints is None or self._violation_of_best() == 0,
        )

    def done(self, reason: str, final_return: float | None) -> dict[str, Any]:
        record = super().done(reason, final_return)
        if self._final_best is not None:
            record["best_fitness"] = self._final_best.fitness
            if math.isfinite(self._final_best.standard_error):
                record["standard_error"] = self._final_best.standard_error
        return record

    def _count_noisy_best(self) -> None:
        assert self._noisy_best is not None
        best = self._noisy_best.best
        if best.num_evaluations and not best.violation:
            self.counters["best_fitness"] = best.fitness

    def _own_episodes(self, novelty: Novelty) -> Evaluations:
        """Episodes of the policy that the generation starts from, for the archive of novelty."""
        row: NDArray[np.floating] = np.asarray(self.method.parameters(), self.problem.dtype)
        number = self.method.generation + 1
        count = self.train.eval_episodes if novelty.kind == "nsra" else 1
        return self.pool.evaluate(PolicyEpisodes(self.train.seed, number, count, row, "archive"))

    def keep_best(
        self, evaluations: Evaluations, asked: Candidates | None, population: Rows
    ) -> None:
        """Keep the best member of a generation if it is the best so far; of points with
        constraints the feasible ones are better.
        """
        fitness = evaluations.fitness
        member: int | None = int(np.argmax(fitness))
        if self._constraints is not None:
            if self._noisy_best is not None:
                self._constraints.forget()  # each generation's best is evaluated again
            member = self._constraints.improved(evaluations)
        if member is None:
            return

        if isinstance(asked, WithPoint) and member == asked.population_size - 1:
            row = np.array(asked.point)
        else:
            row = population.row(member)
        numbers = evaluations.arrays.get(ARRAY)
        columns = None if numbers is None else np.array(numbers[member])
        violation = 0.0 if self._constraints is None else self._constraints.best_violation
        found = Best(row, float(fitness[member]), 1, violation, columns)
        if self._noisy_best is not None:
            self._noisy_best.meet(found)
            return

        best = self.counters["best_fitness"]
        if self._constraints is None and best is not None and found.fitness <= best:
            return
        self.counters["best_fitness"] = None if violation else found.fitness
        if isinstance(self.problem, ObjectiveProblem):
            self.best_point = self._point(row)
            self.best_columns = columns

    def keep_members(self, evaluations: Evaluations, population: Rows) -> None:
        """Keep all members of a generation for the files of ``--keep-members``."""
        if not self.keeps_members or self.directory is None:
            return
        records = evaluations.records
        sign = -1.0 if self.train.minimize else 1.0
        arrays = {name: np.array(records[name]) for name in ("member", "steps", "status")}
        arrays["value"] = sign * records["fitness"]
        columns = columns_of(self.problem)
        if columns is not None:
            numbers = evaluations.arrays[ARRAY]
            arrays |= {each.name: numbers[:, i] for i, each in enumerate(columns.others)}
        if isinstance(self.problem, ObjectiveProblem):
            arrays["point"] = np.array(self.problem.points(population.rows()))
        self.directory.members.add(self.method.generation, arrays)

    def _best(self) -> tuple[float | None, NDArray[np.float64] | None, int]:
        """Value and point of an objective's best, and the evaluations that the value is a mean of;
        None for what there is not.
        """
        if isinstance(self.problem, EnvironmentProblem):
            return None, None, 0

        fitness = self.counters["best_fitness"]
        if self._constraints is not None:
            fitness = self._constraints.best_fitness
        point = self.best_point
        count = 1
        if self._noisy_best is not None:
            row, fitness, count, *_ = self._shown()
            point = self._point(row) if count else None
        if point is None:
            return None, None, 0
        return -fitness if self.train.minimize else fitness, point, count

    def _shown(self) -> Best:
        """A noisy objective's best row with what it was found to be worth."""
        assert self._noisy_best is not None
        return self._final_best or self._noisy_best.shown

    def _point(self, row: NDArray[np.floating]) -> NDArray[np.float64]:
        """The point of the objective that a row of the search stands for."""
        assert isinstance(self.problem, ObjectiveProblem)
        return np.array(self.problem.points(row[None])[0], np.float64)

    def _evaluated_again(self, row: NDArray[np.floating]) -> Best:
        return self._evaluated(row, self.train.eval_episodes, "evaluation")

    def _evaluated(self, row: NDArray[np.floating], count: int, purpose: str) -> Best:
        """A row with the mean of new evaluations of a noisy objective."""
        episodes = policy_episodes(self.train, row, count, purpose)
        evaluations = self.pool.evaluate(episodes)
        records = evaluations.records
        values = episode_returns(records)
        mean = mean_return(values)
        fitness = -math.inf if mean is None else mean
        valid = values[~np.isnan(values)]
        error = float(valid.std(ddof=1) / math.sqrt(valid.size)) if valid.size > 1 else math.nan
        best = Best(row, fitness, int(records["episodes"].sum()), standard_error=error)
        if ARRAY not in evaluations.arrays:
            return best

        columns = np.asarray(evaluations.arrays[ARRAY][np.isfinite(evaluations.fitness)])
        columns = columns.mean(axis=0) if len(columns) else np.full(columns.shape[1], np.nan)
        violation = 0.0 if self._constraints is None else self._constraints.violation_of(columns)
        return best._replace(
            columns=columns, violation=math.inf if math.isnan(violation) else violation
        )
