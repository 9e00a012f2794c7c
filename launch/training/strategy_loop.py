"""The training loop of a strategy: ask, evaluate, tell."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.reliability import Reliability
from esengine.algorithms.evolution.restarts import RestartedSearch
from esengine.algorithms.novelty import Novelty
from esengine.algorithms.strategy import MayFail, Strategy
from esengine.candidates import Candidates, PolicyEpisodes, RepeatedPopulation, WithPoint
from esengine.errors import WorkerError
from esengine.launch.runs.result import RunResult
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.runs.saving import Snapshot
from esengine.launch.settings.config import RunConfig
from esengine.launch.training.constraints import Constraints, check_constrained, members_alone
from esengine.launch.training.loop import Callback, Training
from esengine.launch.training.metric_columns import generation_row
from esengine.launch.training.noisy_best import Best, NoisyBest, check_noisy
from esengine.launch.training.objective_best import ObjectiveBest
from esengine.launch.training.open_generations import OpenGenerations
from esengine.launch.training.problem_from_settings import is_noisy
from esengine.launch.training.restoring import (
    Groups,
    check_finished,
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
        self.novelty: Novelty | None = None
        self._start: StartingSigma | None = None
        self._best: ObjectiveBest | None = None  # of an objective
        self._open = OpenGenerations(pool, self.train.lag)

        columns = columns_of(self.problem)
        self._constraints: Constraints | None = None
        if columns is not None and columns.constraints.size:
            check_constrained(config)
            self._constraints = Constraints(columns, self.problem.dimension)
        if isinstance(self.problem, ObjectiveProblem):
            self._best = ObjectiveBest(pool, self.problem, self.train, self._constraints)
            if self._best.noisy is not None:
                check_noisy(config)

        self._reliability: Reliability | None = None
        if self._constraints is None and is_noisy(self.train, self.problem):
            self._reliability = Reliability()

        if isinstance(self.problem, EnvironmentProblem):
            if self.problem.behavior is not None and self.train.novelty != "none":
                size = self.problem.behavior.size
                self.novelty = Novelty(self.train.novelty, self.train.novelty_neighbors, size)
            if StartingSigma.is_needed(config):
                self._start = StartingSigma(config, self.problem, self._initial)

    @property
    def _noisy(self) -> NoisyBest | None:
        """The best of an objective with noise."""
        return None if self._best is None else self._best.noisy

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
        best = self._best
        if has_changed and best is not None and best.noisy is not None:
            best.noisy.renew(best.again)
            self._count_noisy_best()
        now = before
        if best is not None and best.point is not None and before is not None:
            now = self.counters["best_fitness"] = best.renewed(before)
            if self._constraints is not None and now is None:
                self._constraints.forget()
            elif self._constraints is not None and now is not None:
                self._constraints.best_fitness = now
        if (has_changed or now != before) and isinstance(self.method, RestartedSearch):
            self.method.forget_best()

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
        if not (isinstance(self.method, MayFail) or np.isfinite(evaluations.fitness).any()):
            raise WorkerError(
                f"every member of generation {candidates.generation} failed: no fitness was finite"
            )

        population = self._population()
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

    def _population(self) -> Population:
        """The generation, with the reliability of those before."""
        population = self.pool.population()
        if self._reliability is not None:
            population.reliability = self._reliability.value
        return population

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
        if self._best is None or self._best.noisy is None:
            return

        with self._watch.part("evaluate_policy"):
            self._best.noisy.judge(self._best.again)
        self._count_noisy_best()

    def conclude(self) -> float | None:
        if self._best is None:
            return super().conclude()
        self._best.conclude()
        return None

    def parameters(self) -> NDArray[np.floating]:
        if isinstance(self.problem, EnvironmentProblem):
            return super().parameters()
        return np.asarray(self.problem.points(self.method.parameters()[None])[0])

    def restore_parts(self, checkpoint: Checkpoint, groups: Groups) -> None:
        if self._start is not None:
            restore_part("start", self._start, groups, self.problem.dimension)
            self._restart()
        if self._noisy is not None and "point" in groups["best"]:
            groups["best"] = self._noisy.state()  # the objective took no seed before
        super().restore_parts(checkpoint, groups)
        asked = self._asked(self.method.ask())
        self._open.check(checkpoint.generation)
        for finished in (checkpoint.finished, *self._open.results()):
            check_finished(finished, asked.population_size, self.problem)
        if self._best is not None:
            self._best.restore(groups["best"], self.parameters().shape)

    def parts(self) -> dict[str, Any]:
        own = {
            "novelty": self.novelty,
            "start": self._start,
            "best": self._noisy,
            "constraints": self._constraints,
            "reliability": self._reliability,
            "open": self._open if self.train.lag else None,
        }
        return super().parts() | {name: part for name, part in own.items() if part is not None}

    def snapshot(self) -> Snapshot:
        snapshot = super().snapshot()
        if self._best is None:
            return snapshot
        parameters = np.array(self.parameters())
        best = self._best.record(self.counters["best_fitness"], parameters)
        for name, array in self._best.arrays().items():
            snapshot.checkpoint.arrays[f"best/{name}"] = array
        return snapshot if best is None else replace(snapshot, best=best)

    def result(self, finished: bool, reason: str, final_return: float | None) -> RunResult:
        result = super().result(finished, reason, final_return)
        result = replace(result, choice=self.config.choice)
        if self._best is None:
            return result
        value, point, _ = self._best.value(self.counters["best_fitness"])
        final = self._best.final
        return replace(
            result,
            best_value=value,
            best_point=point,
            standard_error=None if final is None else final.standard_error,
            best_columns=None if point is None else self._best.columns(),
            is_feasible=self._constraints is None or self._best.violation == 0,
        )

    def done(self, reason: str, final_return: float | None) -> dict[str, Any]:
        record = super().done(reason, final_return)
        final = None if self._best is None else self._best.final
        if final is not None:
            record["best_fitness"] = final.fitness
            if math.isfinite(final.standard_error):
                record["standard_error"] = final.standard_error
        return record

    def _count_noisy_best(self) -> None:
        assert self._best is not None
        fitness = self._best.fitness_with_noise
        if fitness is not None:
            self.counters["best_fitness"] = fitness

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
            if self._noisy is not None:
                self._constraints.forget()  # each generation's best is evaluated again
            member = self._constraints.improved(evaluations)
        if member is None or not np.isfinite(fitness[member]):
            return

        if isinstance(asked, WithPoint) and member == asked.population_size - 1:
            row = np.array(asked.point)
        else:
            row = population.row(member)
        numbers = evaluations.arrays.get(ARRAY)
        columns = None if numbers is None else np.array(numbers[member])
        violation = 0.0 if self._constraints is None else self._constraints.best_violation
        found = Best(row, float(fitness[member]), 1, violation, columns)
        if self._noisy is not None:
            self._noisy.meet(found)
            return

        best = self.counters["best_fitness"]
        if self._constraints is None and best is not None and found.fitness <= best:
            return
        self.counters["best_fitness"] = None if violation else found.fitness
        if self._best is not None:
            self._best.take(found)

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
