"""The run directory: the files of a run, and the rules for writing and reading them."""

from __future__ import annotations

import datetime
import os
import socket
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from esengine.errors import UserError, shown
from esengine.launch.mpirun.slurm_allocation import job_name
from esengine.launch.runs.best_point import best_point, best_record
from esengine.launch.runs.columns import Columns
from esengine.launch.runs.copied_files import COPIES, check_copies, digests_of_copies, with_copies
from esengine.launch.runs.identity import identity
from esengine.launch.runs.json_lines import FailureLog, Row
from esengine.launch.runs.members_file import MembersFile
from esengine.launch.runs.metrics_file import MetricsFile
from esengine.launch.runs.records import BestRecord, DoneRecord, RunRecord
from esengine.launch.runs.rows import is_of_run
from esengine.launch.runs.run_lock import RunLock
from esengine.launch.runs.versions import commit, processor, versions
from esengine.launch.settings.config import RunConfig
from esengine.ranks.shared_folder import ROOT, remove_abandoned
from esengine.storage.checkpoint import checkpoints, remove_after, remove_unfinished
from esengine.storage.files import (
    aside_of,
    remove,
    remove_strays,
    write_json,
    write_lasting,
)
from esengine.storage.records import checked_record, read_record
from esengine.user_code import check_trusted

FORMAT = 1
JOB_FOLDER = "slurm"
"""Folder in a run directory for the batch script and the logs of its job. It exists before the run
does.
"""
_NOTHING_YET = "000000"  # name of a checkpoint before the first generation
_FIRST_FILES = (
    "policy.safetensors",
    "reward.safetensors",
    "model.safetensors",
    "archive.safetensors",
    "failures.jsonl",
    "metrics.jsonl",
    "lock",
    "config.json",
    *COPIES,
)


class RunDirectory:
    """The files of a run.

    Args:
        path: the folder.
        trusted: whether to import the module of a user-supplied strategy that only the files name.

    Attributes:
        path: the folder as it was given, for messages.
        folder: its absolute path, since user code may change the working folder.
    """

    def __init__(self, path: Path, trusted: bool = False) -> None:
        self.path = path
        self.trusted = trusted
        self.folder = path.absolute()
        self.checkpoints = self.folder / "checkpoints"
        self.policy = self.folder / "policy.safetensors"
        self.reward = self.folder / "reward.safetensors"
        self.model = self.folder / "model.safetensors"
        self.archive = self.folder / "archive.safetensors"
        self.metrics = MetricsFile(self.folder / "metrics.jsonl")
        self.failures = FailureLog(self.folder)
        self.members = MembersFile(self.folder / "members")
        self._lock: RunLock | None = None
        self._changed: RunConfig | None = None

    @classmethod
    def create(
        cls,
        path: Path,
        config: RunConfig,
        copy_files: Callable[[Path], RunConfig] | None = None,
        remarks: Sequence[str] = (),
        stay_writer: bool = False,
    ) -> RunDirectory:
        """Make the folder of a new run, with its ``config.json``.

        Args:
            path: the folder.
            config: the configuration of the run.
            copy_files: copies what the run needs to its folder, and returns the configuration that
                names the copies.
            remarks: sentences about the run that its record keeps.
            stay_writer: keep the lock, so that no other process can take the folder.

        Raises:
            UserError: the folder holds a run or other files, or it cannot be made.
        """
        run = cls(path, trusted=True)
        try:
            run._claim()
            try:
                copied = config if copy_files is None else copy_files(path)
                record = {"format": FORMAT, "config": copied.to_json(), "starts": []}
                record["files"] = digests_of_copies(path)
                if remarks:
                    record["remarks"] = list(remarks)
                write_json(path / "config.json", record)
            except (OSError, ValueError):
                run._remove()
                run.release()
                raise
        except OSError as error:
            raise UserError(
                f"--run-dir must be writable, got {path}: {error.strerror}; use another folder"
            ) from error

        if not stay_writer:
            run.release()
        return run

    def _claim(self) -> None:
        """Become the one writer of an empty folder, or of one that holds nothing but the files of
        a job or of a failed start.
        """
        path = self.path
        if (path / "config.json").exists() and not self.remove_if_failed():
            raise UserError(
                f"--run-dir must be new, got {path}, which holds a run; use esengine resume "
                f"{path}, or another folder"
            )
        path.mkdir(parents=True, exist_ok=True)
        self.acquire()
        if any(entry.name not in (JOB_FOLDER, "lock") for entry in path.iterdir()):
            self.release()
            raise UserError(
                f"--run-dir must be new or empty, got {path}, which holds other files; use "
                f"another folder"
            )

    @classmethod
    def open(cls, path: Path, trusted: bool = False) -> RunDirectory:
        """Open an existing run. Raises UserError if the folder holds none."""
        run = cls(path, trusted)
        try:
            is_run = (path / "config.json").is_file()
        except OSError as error:
            raise UserError(
                f"a run directory must be readable, got {path}: {error.strerror}"
            ) from error
        if not is_run:
            raise UserError(
                f"a run directory must hold config.json, got {path}, which has none; name the "
                f"folder that train printed"
            )
        run.config()
        return run

    def config(self) -> RunConfig:
        """The configuration of the run, with the changes of this start. Raises UserError for a
        damaged file or another format.
        """
        if self._changed is not None:
            return self._changed

        record = self._record()
        try:
            config = RunConfig.from_json(record["config"], self.trusted)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{self.path}/config.json must be a run's settings, but: {shown(error)}; restore "
                f"it from a copy"
            ) from error

        return with_copies(config, self.folder)

    def trusted_config(self) -> RunConfig:
        """The configuration, whose modules may be imported and whose files may be opened. Raises
        UserError if the user does not trust them.
        """
        check_trusted(self.path, *self.config().modules, trusted=self.trusted)
        self.trusted = True
        return self.config()

    def change_config(self, config: RunConfig) -> None:
        """Give the run another configuration, which `accept` writes."""
        self._changed = config

    def add_start(self, num_workers: int) -> None:
        """Record a start of the run, and what it runs on."""
        record = self._record()
        record["starts"].append(
            {
                "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "host": socket.gethostname(),
                "workers": num_workers,
                "job": job_name(),
                "versions": versions(),
                "processor": processor(),
                "commit": commit(),
            }
        )
        write_json(self.folder / "config.json", record)
        used = [start["processor"] for start in record["starts"] if "processor" in start]
        if len(used) > 1 and used[-1] != used[-2]:
            warnings.warn(
                f"{self.path} was started before on {used[-2]}, and is resumed on {used[-1]}; the "
                f"last bits of results may differ",
                stacklevel=2,
            )

    def identity(self) -> str:
        """A digest of all settings that decide the result, which the run's records hold; "" where
        it would take importing a module that is not trusted.
        """
        record = self._record()
        return identity(record.get("config"), self.trusted, record["files"])

    def columns(self) -> Columns:
        """The rows of metrics. Those of another run are left out, with a warning."""
        return Columns(
            self.metrics, self.identity(), lambda: self._warn_of_another_run("metrics.jsonl")
        )

    def last_rows(self) -> list[Row]:
        """Some of the last rows of metrics, the latest last. Those of another run are left out,
        with a warning.
        """
        rows, run = self.metrics.end(), self.identity()
        own = [row for row in rows if is_of_run(row, run)]
        if len(own) < len(rows):
            self._warn_of_another_run("metrics.jsonl")
        return own

    def note(self, **facts: object) -> None:
        """Record facts of this start: its ``outcome`` (``done``, ``stopped``, ``failed`` or
        ``refused``), or that kernels had to be ``compiled``.
        """
        # the saver has reported a disk that refuses; a run in a test has no start
        with suppress(OSError, UserError, IndexError):
            record = self._record()
            record["starts"][-1] |= facts
            write_json(self.folder / "config.json", record)

    def is_compiling(self, num_starts: int) -> bool:
        """Whether the newest start compiles kernels; False if it is among the first
        ``num_starts``.
        """
        with suppress(UserError):  # the folder is being moved
            starts = self.starts()
            return len(starts) > num_starts and bool(starts[-1].get("compiled"))
        return False

    def starts(self) -> list[dict[str, Any]]:
        """The starts, the latest last. A start without ``outcome`` still runs, or was killed."""
        return list(self._record()["starts"])

    def acquire(self) -> RunDirectory:
        """Lock the directory for this process, its only writer, and return the directory. What
        killed writers left aside is removed, and what killed launches left in shared memory.

        Raises:
            UserError: another running process is the writer, or the folder is not writable.
        """
        if self._lock is None:
            self._lock = RunLock(self.path)
            remove_strays(self.folder)
            remove_abandoned(ROOT)
        return self

    def is_held(self) -> bool:
        """Whether this process is still the only writer, as it also is if the folder is gone."""
        return self._lock is None or self._lock.is_held() or not (self.folder / "lock").exists()

    def check_writable(self) -> None:
        """Raises OSError unless a small file can be written here."""
        trial = aside_of(self.folder / "trial")
        try:
            write_lasting(trial, b" " * 4096)
        finally:
            remove(trial)

    def release(self) -> None:
        """Give up writing."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def hand_down(self) -> None:
        """Let processes that are forked from now on hold the lock, too, until they end."""
        if self._lock is not None:
            self._lock.is_handed_down = True

    def write_best(self, best: Mapping[str, Any]) -> None:
        """Write the value of the best point and its vectors."""
        write_json(self.folder / "best.json", best_record(self.folder, best))

    def write_done(self, record: dict[str, Any]) -> None:
        """Write the completion record of the run."""
        write_json(self.folder / "done.json", record | {"run": self.identity()})

    def best(self) -> dict[str, Any]:
        """The best point, its value and parameters. Raises UserError if a file is damaged."""
        return best_point(self.folder, self._read("best.json", BestRecord))

    def done(self) -> dict[str, Any] | None:
        """The completion record, or None if the run is not finished. That of another run counts as
        none, with a warning. Raises UserError if the file is damaged.
        """
        if not os.path.lexists(self.folder / "done.json"):
            return None
        record = self._read("done.json", DoneRecord)
        run = self.identity()
        if not run or record.get("run", run) == run:
            return record
        self._warn_of_another_run("done.json")
        return None

    def done_if_whole(self) -> dict[str, Any] | None:
        """The completion record; a damaged one is left out, with a warning."""
        try:
            return self.done()
        except UserError as error:
            warnings.warn(f"{error} (left out)", stacklevel=2)
            return None

    def _warn_of_another_run(self, name: str) -> None:
        warnings.warn(
            f"{self.path}/{name} has parts of a run with other settings, which are left out",
            stacklevel=3,
        )

    def newest_checkpoint(self) -> str | None:
        """The name of the newest checkpoint: completed generations, and finished chunks of the
        next.
        """
        kept = checkpoints(self.checkpoints)
        return kept[-1].name if kept else None

    def remove_if_bare(self) -> None:
        """Remove a run that has neither a row nor a result nor a failure to look into."""
        if self._has_nothing() and not (self.folder / "failures.jsonl").exists():
            self._remove()

    def remove_if_failed(self) -> bool:
        """Remove a run whose last start failed before the first generation; returns whether it
        did.
        """
        with suppress(UserError):
            outcome = self.starts()[-1].get("outcome") if self.starts() else None
            if outcome in ("failed", "refused") and self._has_nothing():
                self._remove()
                return True
        return False

    def _has_nothing(self) -> bool:
        """Whether no generation was completed, and no part of one."""
        return not self.metrics.end() and all(
            kept.name == _NOTHING_YET for kept in checkpoints(self.checkpoints)
        )

    def _remove(self) -> None:
        """Remove the first files of a run, and the folder if it is empty then."""
        remove_unfinished(self.checkpoints)
        remove_after(self.checkpoints, None)
        for name in _FIRST_FILES:
            remove(self.folder / name)
        for folder in (self.checkpoints, self.folder):
            with suppress(OSError):
                folder.rmdir()

    def accept(self) -> None:
        """Note that the run can be resumed: its completion record goes, and its configuration is
        changed for good. Until here a refused start leaves both as they were.
        """
        (self.folder / "done.json").unlink(missing_ok=True)
        if self._changed is not None:
            record = self._record() | {"config": self._changed.to_json()}
            write_json(self.folder / "config.json", record)

    def _record(self) -> dict[str, Any]:
        record = self._read("config.json", dict[str, Any])
        written_as = record.get("format")
        if written_as != FORMAT:
            raise UserError(
                f"{self.path}/config.json must have format {FORMAT}, got {shown(written_as, 40)}; "
                f"use the version of esengine that wrote it"
            )
        checked_record(record, RunRecord, f"{self.path}/config.json")
        record.setdefault("files", {})  # none by earlier versions
        return record

    def _read(self, name: str, kind: Any) -> dict[str, Any]:
        return dict(read_record(self.folder / name, kind, f"{self.path}/{name}"))

    def check_copies(self) -> None:
        """Raises UserError if a file that the run began from was replaced."""
        check_copies(self.folder, self._record()["files"])


def default_path(config: RunConfig, seed: str | None = None) -> Path:
    """The default directory, runs/<method>-<environment>-<seed>-<time>, in plain characters."""
    seed = str(config.train.seed) if seed is None else seed
    what = f"{config.method}-{config.train.task}-{seed}"
    safe = "".join(
        character if character.isalnum() or character in "-._" else "-" for character in what
    )
    now = f"{datetime.datetime.now():%Y%m%d-%H%M%S-%f}"
    return Path("runs") / f"{safe}-{now}"
