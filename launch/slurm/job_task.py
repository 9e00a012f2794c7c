"""What a job carries out over its starts: a run, or a set of runs that share the ranks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from esengine.errors import UserError
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.runs.run_set import is_set, runs_of_set
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.parse_train import (
    parse_resume,
    parse_train,
    resume_changes,
    take_flag,
)
from esengine.launch.training.commands import planned_sweep, runs_of_seeds
from esengine.launch.training.several import carry_on, resume_set
from esengine.launch.training.start_and_resume import resume, start
from esengine.ranks import StopRequest


@dataclass(frozen=True)
class JobTask:
    """A run or a set of runs, and how a start of the job carries it out.

    Attributes:
        path: the run directory, or the folder of the set.
        begin: does it at the first start; returns an exit status.
        go_on: does it at a later one.
    """

    path: Path
    begin: Callable[[StopRequest], int]
    go_on: Callable[[StopRequest], int]

    @property
    def is_begun(self) -> bool:
        """Whether a start of the job has left a run."""
        return is_set(self.path) or (self.path / "config.json").is_file()

    @property
    def runs(self) -> list[RunDirectory]:
        """The runs that exist."""
        paths = runs_of_set(self.path) if is_set(self.path) else [self.path]
        return [RunDirectory(path) for path in paths]

    @property
    def is_done(self) -> bool:
        """Whether all runs have finished."""
        return self.is_begun and all(run.done() is not None for run in self.runs)

    @property
    def progress(self) -> str | None:
        """The newest checkpoints, which change from start to start; None without any."""
        newest = [run.newest_checkpoint() for run in self.runs]
        return " ".join(name or "-" for name in newest) if any(newest) else None

    @property
    def has_failed(self) -> bool:
        """Whether every run that is not done failed at its last start."""
        left = [run for run in self.runs if run.done() is None]
        outcomes = [[start.get("outcome") for start in run.starts()][-1:] for run in left]
        return bool(left) and all(outcome == ["failed"] for outcome in outcomes)


def task_of(words: list[str]) -> JobTask:
    """The task of a command. Raises UserError for one that a job cannot carry out."""
    name = words[0] if words else "nothing"
    match name:
        case "train":
            return _of_train(words[1:])
        case "sweep":
            return _of_set(*planned_sweep(words[1:]))
        case "resume":
            return _of_resume(words[1:])
    raise UserError(f"job must run train, sweep or resume, got {name}; run others without job")


def _of_train(words: list[str]) -> JobTask:
    seeds, rest = take_flag(words, "--seeds")
    config = parse_train(rest)
    path = config.train.run_dir
    if path is None:
        raise UserError(
            "a job's run must have --run-dir, under which its next start finds it, got none; add "
            "one"
        )
    if seeds is not None:
        return _of_set(*runs_of_seeds(config, seeds))
    return JobTask(
        path,
        lambda stop: start(config, stop),
        lambda stop: resume(path, {}, config.train.quiet, True, stop),
    )


def _of_resume(words: list[str]) -> JobTask:
    parsed = parse_resume(words)
    changes = resume_changes(parsed)

    def go_on(stop: StopRequest) -> int:
        carry = resume_set if is_set(parsed.run) else resume
        return carry(parsed.run, changes, parsed.quiet, parsed.trust_modules, stop)

    return JobTask(parsed.run, go_on, go_on)


def _of_set(path: Path, configs: dict[str, RunConfig]) -> JobTask:
    def carry(stop: StopRequest) -> int:
        return carry_on(path, configs, stop)

    return JobTask(path, carry, carry)
