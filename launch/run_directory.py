"""The folder that a run is kept in: who writes it, what it holds, how it is read back."""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import os
import platform
import shutil
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from esengine.demonstrations import save_demonstrations
from esengine.errors import UserError
from esengine.launch.config import RunConfig
from esengine.trajectories import Demonstrations

FORMAT = 1
_INIT_POLICY = "init_policy.safetensors"
_DEMONSTRATIONS, _EXPERT = "demonstrations.npz", "expert.safetensors"
_PACKAGES = ("numpy", "numba", "gymnasium", "mujoco", "mpi4py", "cma")


class RunDirectory:
    """A run's files.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.policy = path / "policy.safetensors"
        self._lock: int | None = None

    @classmethod
    def create(cls, path: Path, config: RunConfig) -> RunDirectory:
        """A new run's folder with its ``config.json``.

        Raises:
            UserError: the folder holds a run or other files already, or cannot be made.
        """
        if (path / "config.json").exists():
            raise UserError(
                f"--run-dir must be new, got {path}, which holds a run; use esengine resume {path}, or another folder"
            )
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise UserError(f"--run-dir must be new or empty, got {path}, which holds other files; use another folder")
            run = cls(path)
            run._write_json("config.json", {"format": FORMAT, "config": config.to_json(), "starts": []})
        except OSError as error:
            raise UserError(f"--run-dir must be writable, got {path}: {error.strerror}; use another folder") from error
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """An existing run. Raises UserError if the folder is none."""
        run = cls(path)
        if not (path / "config.json").is_file():
            raise UserError(
                f"a run directory must hold config.json, got {path}, which has none; name the folder that train printed"
            )
        run.config()
        return run

    def config(self) -> RunConfig:
        """The run's settings. Raises UserError if the file is damaged or of another format."""
        record = self._record()
        if record.get("format") != FORMAT:
            raise UserError(
                f"{self.path}/config.json must have format {FORMAT}, got {record.get('format')}; "
                "use the version of esengine that wrote it"
            )
        try:
            config = RunConfig.from_json(record["config"])
        except (KeyError, TypeError) as error:
            raise UserError(f"{self.path}/config.json must be a run's settings, but: {error}") from error
        search: Any = config.search
        if getattr(search, "demonstrations", ()):
            search = replace(search, demonstrations=(str(self.path / _DEMONSTRATIONS),))
        if Path(getattr(search, "expert", None) or "").name == _EXPERT:
            search = replace(search, expert=str(self.path / _EXPERT))
        config = replace(config, search=search)
        if config.train.init_policy is None:
            return config
        return config.with_train(init_policy=self.path / config.train.init_policy.name)  # wherever the run has moved to

    def change_config(self, config: RunConfig) -> None:
        self._write_json("config.json", self._record() | {"config": config.to_json()})

    def adopt_policy(self, source: Path) -> None:
        """Copy the policy that the run starts from, so that the run depends on no other file."""
        shutil.copyfile(source / "policy.safetensors" if source.is_dir() else source, self.path / _INIT_POLICY)
        self.change_config(self.config().with_train(init_policy=Path(_INIT_POLICY)))

    def adopt_imitation(self, demonstrations: Demonstrations | None, expert: Path | None) -> None:
        """Keep the demonstrations that are learned from, and the expert's policy, so that the run depends on no other file."""
        changes: dict[str, Any] = {}
        if demonstrations is not None:
            save_demonstrations(self.path / _DEMONSTRATIONS, demonstrations)
            changes = {"demonstrations": (_DEMONSTRATIONS,), "trajectories": None}
        if expert is not None:
            shutil.copyfile(expert / "policy.safetensors" if expert.is_dir() else expert, self.path / _EXPERT)
            changes["expert"] = _EXPERT
        config = RunConfig.from_json(self._record()["config"])
        search: Any = config.search
        self.change_config(replace(config, search=replace(search, **changes)))

    def add_start(self, num_ranks: int) -> None:
        """Note that the run is started, once more, and on what."""
        record = self._record()
        record["starts"].append(
            {
                "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "host": socket.gethostname(),
                "ranks": num_ranks,
                "job": os.environ.get("SLURM_JOB_ID"),
                "versions": versions(),
                "commit": _commit(),
            }
        )
        self._write_json("config.json", record)

    def end_start(self, outcome: str) -> None:
        """Note how the start ended: ``done``, ``stopped`` or ``failed``."""
        record = self._record()
        record["starts"][-1]["outcome"] = outcome
        self._write_json("config.json", record)

    def starts(self) -> list[dict[str, Any]]:
        """One entry for each start, the latest last; an entry without ``outcome`` runs still or was killed."""
        starts: list[dict[str, Any]] = self._record()["starts"]
        return starts

    def acquire(self) -> RunDirectory:
        """Become the one writer, and return this directory.

        Raises:
            UserError: another living process writes here, or nobody can.
        """
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise UserError(
                f"a run directory must be writable, got {self.path}: {error.strerror}; copy it elsewhere"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 4096).decode(errors="replace")
            os.close(descriptor)
            raise UserError(
                f"a run directory has one writer, and {self.path} is held by {_owner_words(owner)}; wait for it or stop it"
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise UserError(
                f"a run directory must be on a file system with flock, got {self.path}: {error.strerror}; "
                "mount it with flock, or use another folder"
            ) from error
        record = {"host": socket.gethostname(), "pid": os.getpid(), "job": os.environ.get("SLURM_JOB_ID")}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(record).encode(), 0)
        self._lock = descriptor
        return self

    def release(self) -> None:
        """Give up writing."""
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    def cut_metrics(self, generation: int) -> None:
        """Keep the rows up to a generation, which is where the run goes on from."""
        path = self.path / "metrics.jsonl"
        if path.exists():
            kept = [row for row in self.metrics() if row["generation"] <= generation]
            self._write("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in kept))

    def add_metrics(self, row: dict[str, Any]) -> None:
        with open(self.path / "metrics.jsonl", "a") as file:
            file.write(json.dumps(row) + "\n")

    def flush_metrics(self) -> None:
        """Make the rows survive a crash of the machine, before a checkpoint relies on them."""
        path = self.path / "metrics.jsonl"
        if path.exists():
            with open(path, "rb") as file:
                os.fsync(file.fileno())

    def metrics(self) -> list[dict[str, Any]]:
        """All rows; one that was cut short by a crash is left out."""
        path = self.path / "metrics.jsonl"
        rows = []
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
        return rows

    def write_best(self, best: dict[str, Any]) -> None:
        self._write_json("best.json", best)

    def write_done(self, record: dict[str, Any]) -> None:
        self._write_json("done.json", record)

    def done(self) -> dict[str, Any] | None:
        """The completion record, or None if the run is not finished."""
        path = self.path / "done.json"
        if not path.exists():
            return None
        record: dict[str, Any] = json.loads(path.read_text())
        return record

    def reopen(self) -> None:
        """Forget that the run was finished: it goes on."""
        (self.path / "done.json").unlink(missing_ok=True)

    def _record(self) -> dict[str, Any]:
        try:
            record = json.loads((self.path / "config.json").read_text())
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path}/config.json must be readable JSON, but: {error}") from error
        if not isinstance(record, dict) or not isinstance(record.get("starts"), list):
            raise UserError(f"{self.path}/config.json must be a JSON object with a list of starts; restore it from a copy")
        return record

    def _write_json(self, name: str, value: Any) -> None:
        self._write(name, json.dumps(value, indent=1) + "\n")

    def _write(self, name: str, text: str) -> None:
        """Write aside and rename, so that a reader never sees half a file."""
        aside = self.path / f".{name}.{os.getpid()}"
        aside.write_text(text)
        aside.rename(self.path / name)


def default_path(config: RunConfig) -> Path:
    """runs/<method>-<environment>-<seed>-<time>, a name without special characters."""
    what = config.train.env_id or config.train.objective or ""
    safe = "".join(character if character.isalnum() or character in "-._" else "-" for character in what)
    return Path("runs") / f"{config.method}-{safe}-{config.train.seed}-{time.strftime('%Y%m%d-%H%M%S')}"


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version(), "esengine": _version("esengine")}
    return found | {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str:
    if package == "esengine":
        from esengine import __version__

        return __version__
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _commit() -> str | None:
    """The commit of the checkout that the package runs from, or None for an installed one."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "--verify", "-q", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or None
    except OSError:
        return None  # no git on this machine


def _owner_words(owner: str) -> str:
    try:
        record = json.loads(owner)
    except ValueError:
        return "another process"
    job = f" (job {record['job']})" if record.get("job") else ""
    return f"process {record.get('pid')} on {record.get('host')}{job}"
