"""Saving a run while it trains: rows of metrics at once, checkpoints in a thread, and one message
if the disk refuses.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.errors import WorkerError, put
from esengine.launch.runs.charts import EventFile
from esengine.launch.runs.json_lines import Row
from esengine.launch.runs.rows import MARK
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.settings.config import RunConfig
from esengine.models import LearnedModel, save_model
from esengine.policies import Policy, save_policy
from esengine.repertoires import Repertoire, save_archive
from esengine.rewards import LearnedReward, save_reward
from esengine.storage import Checkpoint, save_checkpoint


@dataclass(frozen=True)
class Snapshot:
    """What is saved with a checkpoint. Training does not change it.

    Attributes:
        checkpoint: what the run is resumed from.
        policy: the content of ``policy.safetensors``, or None.
        best: the content of ``best.json``, numbers and vectors, or None.
        reward: the content of ``reward.safetensors``, or None if no reward is learned.
        model: the content of ``model.safetensors``, or None if no model is learned.
        archive: the content of ``archive.safetensors``, or None if the method has none.
    """

    checkpoint: Checkpoint
    policy: Policy | None = None
    best: dict[str, Any] | None = None
    reward: LearnedReward | None = None
    model: LearnedModel | None = None
    archive: Repertoire | None = None


class Saver:
    """Writes the files of a run on the master.

    A disk that is full, read-only or gone does not end the run: rows wait in memory, and the next
    checkpoint tries again. Standard error reports it once. `save_last` raises if it lasts to the
    end.

    Args:
        directory: the run, which this process has locked.
        config: the number of checkpoints to keep.
    """

    def __init__(self, directory: RunDirectory, config: RunConfig) -> None:
        self._directory = directory
        self._run = directory.identity()[:MARK]
        self._keep = config.train.keep_checkpoints
        self._events = EventFile(directory.folder)
        self._thread: Thread | None = None
        self._error: OSError | None = None  # of the thread
        self._saved: str | None = None  # name of the checkpoint that has this state
        self._reported: set[str] = set()  # what was printed already

    @property
    def is_busy(self) -> bool:
        """Whether a checkpoint is being written. There is at most one."""
        return self._thread is not None and self._thread.is_alive()

    def add_row(self, row: Row) -> None:
        """Append a row to the metrics and to TensorBoard's events; it names the run by its
        identity.
        """
        row = row | {"machine": row["machine"] | {"run": self._run}}
        try:
            self._directory.metrics.add(row)
        except OSError as error:
            self._report(error)
        try:
            self._events.add(row)
        except OSError as error:
            self._report(error)

    def save(self, snapshot: Snapshot) -> None:
        """Begin to write a snapshot in a thread; the caller has checked that none is being written.

        Raises:
            WorkerError: another process took over the run directory.
        """
        self.join()
        try:
            self._prepare()
        except OSError as error:
            self._report(error)
            return
        thread = Thread(target=self._save_aside, args=(snapshot,), name="checkpoint")
        try:
            thread.start()
        except RuntimeError:  # this machine has no more threads
            self._save_aside(snapshot)
            self._report_error()
            return
        self._thread = thread

    def join(self) -> None:
        """Wait until no snapshot is being written."""
        if self._thread is None:
            return
        self._thread.join()
        self._thread = None
        self._report_error()

    def save_last(self, snapshot: Snapshot, done: Mapping[str, Any] | None = None) -> None:
        """Write the final state of this start, and wait for it.

        Args:
            snapshot: the state.
            done: the completion record, if the run is finished.

        Raises:
            WorkerError: the disk refuses, or another process took over the run directory.
        """
        self.join()
        try:
            self._prepare()
            self._write(snapshot)
            if done is not None:
                self._directory.write_done(dict(done))
        except OSError as error:
            newest = self._directory.newest_checkpoint()
            what = f"the newest checkpoint is {newest}" if newest else "there is no checkpoint"
            raise WorkerError(
                f"the final state could not be saved in {self._directory.path}: {_reason(error)}; "
                f"{what}; make the folder writable, with room, and resume the run"
            ) from error

    def _prepare(self) -> None:
        """Check that this process still is the writer, and write the waiting rows, which a
        checkpoint relies on.
        """
        if not self._directory.is_held():
            raise WorkerError(
                f"another process took over {self._directory.path}; this one stops without "
                f"writing there"
            )
        self._directory.metrics.append_waiting()

    def _save_aside(self, snapshot: Snapshot) -> None:
        try:
            self._write(snapshot)
            self._error = None
        except OSError as error:
            self._error = error

    def _write(self, snapshot: Snapshot) -> None:
        checkpoint = snapshot.checkpoint
        if checkpoint.name != self._saved:
            self._saved = None
            self._directory.metrics.flush()
            self._directory.members.write(checkpoint.generation)
            save_checkpoint(self._directory.checkpoints, checkpoint, self._keep)
            if snapshot.reward is not None:
                save_reward(self._directory.reward, snapshot.reward)
            if snapshot.model is not None:
                save_model(self._directory.model, snapshot.model)
            if snapshot.archive is not None:
                save_archive(self._directory.archive, snapshot.archive)
            if "row" not in checkpoint.counters:  # else a later checkpoint of this name holds more
                self._saved = checkpoint.name

        # The evaluations at the end change these after the last checkpoint
        if snapshot.policy is not None:
            save_policy(self._directory.policy, snapshot.policy)
        if snapshot.best is not None:
            self._directory.write_best(snapshot.best)

    def _report_error(self) -> None:
        if self._error is not None:
            self._report(self._error)

    def _report(self, error: OSError) -> None:
        self._print_once(
            f"{self._directory.path} cannot be written: {_reason(error)}; "
            f"training goes on, and every checkpoint that is due tries again"
        )

    def _print_once(self, sentence: str) -> None:
        """Print a sentence the first time, since a disk that is nearly full refuses again and
        again.
        """
        if sentence not in self._reported:
            self._reported.add(sentence)
            put(f"esengine: {sentence}", file=sys.stderr, flush=True)


def copied(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Copies of arrays, which the run cannot change."""
    return {name: np.array(array) for name, array in arrays.items()}


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
