"""The training loop of every method: advance a generation, write its row, and save a checkpoint
when one is due, until a budget or a target is reached.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from esengine.algorithms.strategy import RoundMethod
from esengine.errors import CallbackRaised, Interrupted, UserError, WorkerError, counted
from esengine.launch.runs.json_lines import Row
from esengine.launch.runs.result import RunResult
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.runs.saving import Saver, Snapshot, copied
from esengine.launch.settings.config import RunConfig
from esengine.launch.training.clocks import Stopwatch, TimeLimit
from esengine.launch.training.metric_columns import (
    round_row,
)
from esengine.launch.training.policy_choice import PolicyChoice
from esengine.launch.training.problem_from_settings import AnyProblem, trained_policy
from esengine.launch.training.restoring import (
    Groups,
    blaming_code,
    check_environment,
    note_code,
    restore_part,
    restoring,
)
from esengine.pool import Pool
from esengine.problems import EnvironmentProblem
from esengine.ranks.guard import report
from esengine.ranks.signals import outlive
from esengine.storage import Checkpoint, load_newest
from esengine.storage.checkpoint import remove_after, remove_unfinished

Callback = Callable[[Row], object]
"""Called on the master with the row of metrics of every generation; True ends the run in order."""


class Training(PolicyChoice, ABC):
    """The master's loop over generations. Its state is the method's, the problem's statistics and
    a few counters.

    Args:
        pool: of the run's problem.
        config: the run's settings.
        directory: where the run is kept and resumed from, or None to keep it in memory.
        method: at its start, see `esengine.algorithms.strategy`.
        callbacks: called after every generation.
    """

    def __init__(
        self,
        pool: Pool,
        config: RunConfig,
        directory: RunDirectory | None,
        method: Any,
        callbacks: tuple[Callback, ...],
    ) -> None:
        self.pool = pool
        self.config = config
        self.train = config.train
        self.problem: AnyProblem = pool.rank_state.problem  # type: ignore[assignment]
        self.directory = directory
        self._identity = "" if directory is None else directory.identity()
        self.method = method
        self.callbacks = callbacks
        self._watch = Stopwatch()
        self._keep_policies()

        self.counters = {
            "env_steps": 0,
            "evaluations": 0,
            "eval_env_steps": 0,
            "elapsed_s": 0.0,
            "best_fitness": None,
        }
        self.row = {}  # of a generation that is told but not yet written
        self._finished: dict[int, bytes] = {}  # results of the open generation by chunk

        if not self.train.quiet:
            pool.life_sign.report = report
        self._saver: Saver | None = None
        if directory is not None:
            self._saver = Saver(directory, config)
            pool.on_failures = directory.failures.add
        self._is_ended = False  # by a callback
        self._is_due = False  # a checkpoint, as soon as the one before is written

        self._elapsed_before = 0.0
        self._began = time.monotonic()
        self._time_limit = TimeLimit()
        self._longest_s = 0.0  # generation of this start

    def run(self) -> RunResult:
        """Generations until there is a reason to stop, then the final evaluation and the completion
        record.

        Raises:
            WorkerError: every member failed, or the final state could not be saved.
        """
        try:
            return self._run()
        finally:
            if self._saver is not None:
                self._saver.join()

    def _run(self) -> RunResult:
        try:
            self.begin()
            reason = self._advance_until_done()
            self.close_generations()
            if self.directory is not None and not self.train.is_function:
                self.directory.note(concluding=True)
            final_return = self.conclude()
        except Interrupted as signal:
            self.close_generations(keeping_results=True)
            if self.directory is not None and self.pool.is_being_killed:
                self.directory.hand_down()
                assert self._saver is not None
                outlive(self._save_and_note, first=self._saver.join)
            else:
                self._save_last_state()
            return self.result(False, f"stopped by {signal}", None)
        except WorkerError:
            # a resumed run evaluates the whole generation again, with what was repaired
            self.close_generations()
            self._finished = {}
            self._save_last_state()
            raise
        except CallbackRaised:
            self.close_generations()
            self._save_last_state()
            raise

        if self._saver is not None:
            self._saver.save_last(self.snapshot(), self.done(reason, final_return))
        return self.result(True, reason, final_return)

    def _advance_until_done(self) -> str:
        """Generations until there is a reason to stop, which is returned."""
        while True:
            if not self.row:
                stopped = self.train.reason_to_stop(self.method.generation, self.counters)
                reason = stopped or self.method.should_stop()
                restarts = self.method.metrics().get("restarts", 0) if stopped else 0
                if stopped and restarts:
                    reason = f"{stopped}, after {counted(int(restarts), 'restart')}"
                if reason is not None:
                    return reason
                if not self._time_limit.leaves(self._longest_s):
                    raise Interrupted(
                        "the job's time limit, before a generation that would not fit"
                    )
                began = time.monotonic()
                self.advance()
                self._longest_s = max(self._longest_s, time.monotonic() - began)
            self._complete_row()
            if self._is_ended:
                return "a callback ended it"

    @abstractmethod
    def advance(self) -> None:
        """Do a generation, and begin its row. It is kept whole or not at all.

        Raises:
            Interrupted: a signal; ``_finished`` holds what was evaluated.
            WorkerError: every member failed.
        """

    def close_generations(self, keeping_results: bool = False) -> None:
        """End the evaluation of generations that are not told yet.

        Args:
            keeping_results: whether the next checkpoint holds what has arrived.
        """

    @property
    def last_begun(self) -> int:
        """The number of the last generation that has results."""
        return int(self.method.generation) + bool(self._finished)

    def count(self, env_steps: int, evaluations: int) -> None:
        """Add to what the run has used."""
        self.counters["env_steps"] += env_steps
        self.counters["evaluations"] += evaluations

    def _complete_row(self) -> None:
        """Evaluate the policy when that is due, write the row, and save a checkpoint when one is
        due. A row that was interrupted here is completed by the resumed run.
        """
        generation = self.method.generation
        if self.train.eval_every and generation % self.train.eval_every == 0:
            self.judge()

        self.counters["elapsed_s"] = self._elapsed_before + time.monotonic() - self._began
        self.row["machine"]["elapsed_s"] = round(self.counters["elapsed_s"], 3)
        self.row["machine"]["seconds"] = self._watch.lap()
        row = self.row
        self.row = {}
        if self._saver is not None:
            with self._watch.part("charts"):
                self._saver.add_row(row)
        answers = [callback(row) for callback in self.callbacks]
        self._is_ended = any(answer is True for answer in answers)

        every = self.train.checkpoint_every
        self._is_due |= every > 0 and generation % every == 0
        if self._saver is not None and self._is_due and not self._saver.is_busy:
            with self._watch.part("checkpoint"):
                self._saver.save(self.snapshot())
            self._is_due = False

    def begin(self) -> None:
        """Do what comes before the first generation of this start: resume from the newest whole
        checkpoint, if there is one, and evaluate the policy that a new run starts from.
        """
        if self.directory is not None:
            self._resume(self.directory)
        self.judge_first()

    def _resume(self, directory: RunDirectory) -> None:
        """Resume from the newest whole checkpoint, if there is one."""
        remove_unfinished(directory.checkpoints)
        checkpoint = load_newest(directory.checkpoints)
        if checkpoint is not None:
            if checkpoint.run not in ("", self._identity):
                raise UserError(
                    f"{directory.checkpoints / checkpoint.name} must be a checkpoint of the "
                    f"run that config.json describes, got one with other settings; restore "
                    f"config.json, or move the checkpoint away"
                )
            check_environment(directory, self.problem)
            with blaming_code(directory, self.config, checkpoint.generation):
                self.restore(checkpoint)

        unwritten = bool(self.row)  # it would be written twice
        generation = checkpoint.generation if checkpoint else 0
        directory.metrics.cut(generation - unwritten, self._identity)
        remove_after(directory.checkpoints, checkpoint)
        directory.failures.cut(self.last_begun if checkpoint else 0)
        directory.members.cut(generation)
        directory.accept()
        has_changed = note_code(directory, self.config, checkpoint)
        if checkpoint is not None:
            self.renew(has_changed)

    def renew(self, has_changed: bool) -> None:
        """Do what a resumed run needs whose code may have changed, so that best values are of one
        code.

        Args:
            has_changed: whether the code is known to have changed.
        """
        if has_changed:
            self.counters["best_fitness"] = None
            self.counters["last_eval"] = None
            self._finished = {}
            self.renew_best()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go to where a checkpoint was made. Raises UserError if it does not fit the run's
        settings.
        """
        with restoring(checkpoint) as groups:
            self.restore_parts(checkpoint, groups)
        self.counters = checkpoint.counters
        self.row = self.counters.pop("row", {})
        self._finished = checkpoint.finished
        self._elapsed_before = self.counters["elapsed_s"]

    def restore_parts(self, checkpoint: Checkpoint, groups: Groups) -> None:
        """Bring the method and the problem to the state of a checkpoint.

        Args:
            checkpoint: what was saved.
            groups: its arrays, by the part that they belong to.

        Raises:
            ValueError, TypeError, KeyError, IndexError, OverflowError: it is whole, but not of a
                run with these settings.
        """
        for name, part in self.parts().items():
            restore_part(name, part, groups, self.problem.dimension)
        if self.method.generation != checkpoint.generation:
            raise ValueError(f"its strategy is at generation {self.method.generation}")

    def parts(self) -> dict[str, Any]:
        """The objects whose ``state`` a checkpoint holds, by name."""
        parts: dict[str, Any] = {"strategy": self.method}
        if isinstance(self.problem, EnvironmentProblem):
            parts["problem"] = self.problem
        return parts if self.best is None else parts | {"policy": self.best}

    def snapshot(self) -> Snapshot:
        """The state as it is now, copied, so that it can be written while the run goes on."""
        arrays = {
            f"{part}/{name}": array
            for part, owner in self.parts().items()
            for name, array in owner.state().items()
        }
        counters = self.counters | ({"row": self.row} if self.row else {})
        checkpoint = Checkpoint(
            self.method.generation, copied(arrays), counters, dict(self._finished), self._identity
        )
        if not isinstance(self.problem, EnvironmentProblem):
            return Snapshot(checkpoint)
        chosen = self.chosen()
        return Snapshot(checkpoint, trained_policy(self.problem, chosen.row, chosen.scaling))

    def done(self, reason: str, final_return: float | None) -> dict[str, Any]:
        """The completion record."""
        own = {}
        if isinstance(self.problem, EnvironmentProblem):
            own = {
                "policy_generation": self.chosen().generation,
                "eval_env_steps": self.counters["eval_env_steps"] + self._closing_steps,
            }
        return {
            "reason": reason,
            "generations": self.method.generation,
            "best_fitness": self.counters["best_fitness"],
            "final_return": final_return,
            "env_steps": self.counters["env_steps"],
            "evaluations": self.counters["evaluations"],
            **own,
        }

    def _save_last_state(self) -> None:
        """Save the state of a run that is stopped."""
        if self._saver is not None:
            self._saver.save_last(self.snapshot())

    def _save_and_note(self) -> None:
        """Save the state, and note in the run's record what the launcher may leave this process no
        time for.
        """
        self._save_last_state()
        assert self.directory is not None
        self.directory.note(outcome="stopped")

    def result(self, finished: bool, reason: str, final_return: float | None) -> RunResult:
        in_environment = isinstance(self.problem, EnvironmentProblem)
        return RunResult(
            finished,
            reason,
            self.method.generation,
            np.array(self.parameters()),
            None,
            None,
            self.chosen().generation if in_environment else None,
            final_return,
            self.directory,
        )


class RoundTraining(Training):
    """The loop over rounds: each evaluates what the method asks for, and learns from it."""

    method: RoundMethod

    def advance(self) -> None:
        self.pool.check_stop()  # a round without an evaluation would not look
        began = time.monotonic()
        failed = self.pool.num_failed
        steps, episodes = self.method.step(self.pool, self._finished)
        self._finished = {}

        seconds = time.monotonic() - began
        parts = self.method.seconds
        self._watch.add("update", seconds - sum(parts.values()))  # the rest is learning
        for part, of_part in parts.items():
            self._watch.add(part, of_part)
        self.count(steps, episodes)
        rate = steps / (time.monotonic() - began)
        failed = self.pool.num_failed - failed
        self.row = round_row(self.method, self.counters, self.pool, rate, failed)
