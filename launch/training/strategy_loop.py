"""The training loop of a strategy: ask, evaluate, tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.novelty import Novelty
from esengine.algorithms.strategy import Strategy
from esengine.candidates import PolicyEpisodes
from esengine.errors import WorkerError
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.runs.saving import Snapshot
from esengine.launch.settings.config import RunConfig
from esengine.launch.training.initial_policy import JumpStart
from esengine.launch.training.loop import Callback, RunResult, Training
from esengine.launch.training.metric_columns import generation_row
from esengine.launch.training.restoring import (
    Groups,
    check_finished,
    check_shape,
    restore_part,
)
from esengine.pool.pool import Pool
from esengine.pool.population import Population
from esengine.problems import EnvironmentProblem, ObjectiveProblem
from esengine.problems.evaluations import Evaluations
from esengine.storage.checkpoint import Checkpoint


class StrategyTraining(Training):
    """The loop over generations, for policies and for objectives."""

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
        self.best_point: NDArray[np.float64] | None = None
        self.novelty: Novelty | None = None
        self._jump: JumpStart | None = None
        if isinstance(self.problem, EnvironmentProblem):
            if self.problem.behavior is not None:
                size = self.problem.behavior.size
                self.novelty = Novelty(self.train.novelty, self.train.novelty_neighbors, size)
            if self.train.init_policy is not None:
                self._jump = JumpStart(config, self.problem, method.parameters())

    def begin(self) -> None:
        """Resume, or evaluate the policy that a new run is given and find a step size that keeps
        its skill.
        """
        super().begin()
        if self._jump is None or self._jump.sigma is not None:
            return
        parameters = self.method.parameters()
        returns, steps, episodes = self._jump.begin(self.pool)
        self.method = self._jump.strategy()
        self._jump.judge(parameters, returns)
        self.count(steps, episodes)

    def prepare(self) -> None:
        """Do what comes before the next population; once it is done, doing it again changes
        nothing.
        """

    def advance(self) -> None:
        self.prepare()
        own = self._own_episode()
        with self._watch.part("update"):
            candidates = self.method.ask()
        evaluations = self.pool.evaluate(candidates, self._finished, merge=False)
        if not np.isfinite(evaluations.fitness).any():
            raise WorkerError(
                f"every member of generation {candidates.generation} failed: no fitness was finite"
            )

        population = self.pool.population()
        fitness = evaluations.fitness
        traits = self._traits(evaluations)
        if self.novelty is not None and own is not None:
            fitness = self.novelty.fitness(fitness, traits[:, 1:], own.behavior)
        with self._watch.part("update"):
            self.method.tell(candidates, fitness, population)

        # nothing below can be interrupted: a generation is kept whole or not at all
        self._finished = {}
        if self.novelty is not None and own is not None:
            self.novelty.tell(own.behavior, own.episode_return)
            self.count(own.steps, 1)
        if isinstance(self.problem, EnvironmentProblem):
            self.problem.adapt(candidates, evaluations.records, traits)
        self.pool.merge(evaluations)
        self._watch.add("publish", evaluations.publish_s)
        self._watch.add("evaluate", evaluations.wall_s - evaluations.publish_s)

        self._keep_best(evaluations, population)
        records = evaluations.records
        self.count(int(records["steps"].sum()), int(records["episodes"].sum()))
        metrics = self.method.metrics() | ({} if self.novelty is None else self.novelty.metrics())
        self.row = generation_row(
            self.method, self.problem, evaluations, self.counters, metrics, self.pool
        )

    def judge(self) -> NDArray[np.float64]:
        if isinstance(self.problem, ObjectiveProblem):
            return np.zeros(0)
        returns = super().judge()
        if self._jump is not None:
            assert self.row is not None
            self._jump.judge(self.method.parameters(), returns)
            self.row["episode_return_best"] = self._jump.best_return
            self.counters["last_eval"] = self._jump.best_return
        return returns

    def conclude(self) -> float | None:
        return None if isinstance(self.problem, ObjectiveProblem) else super().conclude()

    def parameters(self) -> NDArray[np.floating]:
        """The parameters to use: the strategy's or, after a start from a policy, the best that were
        evaluated.
        """
        if isinstance(self.problem, ObjectiveProblem):
            point: NDArray[np.floating] = self.problem.points(self.method.parameters()[None])[0]
            return point
        return self.method.parameters() if self._jump is None else self._jump.best

    def restore_parts(self, checkpoint: Checkpoint, groups: Groups) -> None:
        dimension = self.problem.dimension
        check_finished(checkpoint.finished, self.method.population_size, self.problem)
        if self._jump is not None:
            restore_part("jump", self._jump, groups, dimension)
            self.method = self._jump.strategy()
        super().restore_parts(checkpoint, groups)
        if self.novelty is not None:
            restore_part("novelty", self.novelty, groups, dimension)
        self.best_point = groups["best"].get("point")
        if self.best_point is not None:
            check_shape("best/point", self.best_point, self.parameters().shape)

    def parts(self) -> dict[str, Any]:
        own = {"novelty": self.novelty, "jump": self._jump}
        return super().parts() | {name: part for name, part in own.items() if part is not None}

    def snapshot(self) -> Snapshot:
        snapshot = super().snapshot()
        if self.best_point is None:
            return snapshot
        snapshot.checkpoint.arrays["best/point"] = self.best_point.copy()
        best = {
            "value": self._best_value(),
            "point": self.best_point,
            "parameters": np.array(self.parameters()),
        }
        return replace(snapshot, best=best)

    def result(self, finished: bool, reason: str, final_return: float | None) -> RunResult:
        result = super().result(finished, reason, final_return)
        if isinstance(self.problem, EnvironmentProblem):
            return result
        return replace(result, best_value=self._best_value(), best_point=self.best_point)

    def _traits(self, evaluations: Evaluations) -> NDArray[np.float64]:
        """What came back of every member besides its record."""
        if not isinstance(self.problem, EnvironmentProblem) or not self.problem.num_traits:
            return np.zeros((len(evaluations.records), 0))
        return self.problem.traits(evaluations.statistics, list(evaluations.bounds))

    def _own_episode(self) -> _OwnEpisode | None:
        """An episode of the policy that the generation starts from, for the archive of novelty."""
        if self.novelty is None:
            return None
        row: NDArray[np.floating] = np.asarray(self.method.parameters(), self.problem.dtype)
        number = self.method.generation + 1
        evaluations = self.pool.evaluate(PolicyEpisodes(self.train.seed, number, 1, row, "archive"))
        return _OwnEpisode(
            self._traits(evaluations)[0, 1:],
            float(evaluations.fitness[0]),
            int(evaluations.records[0]["steps"]),
        )

    def _keep_best(self, evaluations: Evaluations, population: Population) -> None:
        fitness = evaluations.fitness
        member = int(np.argmax(fitness))
        best = self.counters["best_fitness"]
        if best is None or fitness[member] > best:
            self.counters["best_fitness"] = float(fitness[member])
            if isinstance(self.problem, ObjectiveProblem):
                points = self.problem.points(population.row(member)[None])
                self.best_point = points[0].astype(np.float64)

    def _best_value(self) -> float | None:
        best: float | None = self.counters["best_fitness"]
        return -best if best is not None and self.train.minimize else best


class _OwnEpisode(NamedTuple):
    """An episode of the current policy."""

    behavior: NDArray[np.float64]
    episode_return: float
    steps: int
