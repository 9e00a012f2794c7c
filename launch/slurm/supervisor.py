"""``esengine job``: inside a batch job, carry a run out on the job's tasks, and requeue the job
until the run is done.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from esengine.errors import UserError
from esengine.launch.mpirun.slurm_allocation import Allocation
from esengine.launch.runs.outcomes import BAD_INPUT, DONE, FAILED, STOPPED
from esengine.launch.runs.run_directory import JOB_FOLDER, RunDirectory
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.parse_train import parse_resume, parse_train, resume_changes
from esengine.launch.slurm.client import queued_jobs, requeue, time_left_s
from esengine.launch.training.start_and_resume import resume, start
from esengine.launch.training.time_limit import VARIABLE
from esengine.ranks.signals import StopRequest
from esengine.storage.checkpoint import checkpoints

IDLE_STARTS = 2
"""Starts in a row that may make no progress before the job gives up."""
_HISTORY = "starts.json"
_REQUEUE_S = 60.0  # by then Slurm has ended the start


@dataclass(frozen=True)
class JobSettings:
    """Carry a run out on the tasks of this Slurm job, and requeue the job until the run is done:
    esengine job -- train ...
    """

    stop_before: int = 120
    """Seconds before the job's time limit at which the run is saved; sbatch's
    --signal=B:USR1@SECONDS should say the same.
    """
    max_requeues: int = 50
    """Starts beyond the first before the job gives up."""


def supervise(settings: JobSettings, arguments: list[str], stop: StopRequest) -> int:
    """Start or go on with the run, and requeue the job if it is not done then; returns the exit
    status.

    Raises:
        UserError: this is no batch job, or the command is none that keeps a run.
    """
    allocation = Allocation.current()
    if allocation is None:
        raise UserError(
            "job must run inside a Slurm job, found no SLURM_JOB_ID; use esengine submit, or "
            "sbatch and a script"
        )
    task = _parse(arguments)
    directory = RunDirectory(task.run)
    again = allocation.restarts > 0 and (task.run / "config.json").exists()
    if again and directory.done() is not None:
        return DONE
    idle = _idle_starts(task.run, allocation)
    _tell_time_limit(allocation, settings.stop_before)
    began = progress(task.run)
    if task.config is not None and not again:
        status = start(task.config, stop)
    else:
        status = resume(task.run, task.changes, task.quiet, task.trusted, stop)
    if status in (DONE, BAD_INPUT) or directory.done() is not None:
        return DONE if directory.done() is not None else status
    moved = progress(task.run) != began
    failed = directory.starts()[-1:] and directory.starts()[-1].get("outcome") == "failed"
    idle = 0 if moved else IDLE_STARTS if failed else idle + 1
    return _requeue(allocation, settings, idle, status)


@dataclass(frozen=True)
class _Task:
    run: Path
    config: RunConfig | None  # of train
    changes: dict[str, object]
    quiet: bool
    trusted: bool


def _parse(arguments: list[str]) -> _Task:
    if arguments[:1] == ["train"]:
        config = parse_train(arguments[1:])
        if config.train.run_dir is None:
            raise UserError(
                "a job's run must have --run-dir, under which its next start finds it, got none; "
                "add one"
            )
        return _Task(config.train.run_dir, config, {}, config.train.quiet, trusted=True)
    if arguments[:1] == ["resume"]:
        parsed = parse_resume(arguments[1:])
        return _Task(parsed.run, None, resume_changes(parsed), parsed.quiet, parsed.trust_modules)
    raise UserError(
        f"job must carry out train or resume, got {' '.join(arguments[:1]) or 'nothing'}; run "
        f"others without job"
    )


def progress(run: Path) -> str | None:
    """Name of the run's furthest checkpoint: completed generations, and finished chunks of the open
    one.
    """
    newest = checkpoints(run / "checkpoints")
    return newest[-1].name if newest else None


def _tell_time_limit(allocation: Allocation, stop_before_s: int) -> None:
    """Let the ranks know until when a generation must have ended."""
    left_s = time_left_s(allocation.job)
    if left_s is not None:
        os.environ[VARIABLE] = f"{time.time() + left_s - stop_before_s:.0f}"


def _idle_starts(run: Path, allocation: Allocation) -> int:
    """How many starts of this job, up to this one, ended where they had begun; notes where this one
    begins.
    """
    path = run / JOB_FOLDER / _HISTORY
    try:
        history = json.loads(path.read_text())
    except (OSError, ValueError):
        history = {}
    here = progress(run)
    same = history.get("job") == allocation.job and allocation.restarts > 0
    idle = history["idle"] + 1 if same and history["progress"] == here else 0
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"job": allocation.job, "progress": here, "idle": idle}) + "\n")
    return idle


def _requeue(allocation: Allocation, settings: JobSettings, idle: int, status: int) -> int:
    """Put the job back into the queue, unless that is of no use or against somebody's will."""
    if idle >= IDLE_STARTS:
        return _give_up("it made no progress", FAILED)
    if allocation.restarts >= settings.max_requeues:
        return _give_up(
            f"it was started {allocation.restarts + 1} times (--max-requeues "
            f"{settings.max_requeues})",
            status,
        )
    jobs = queued_jobs(allocation.job)
    if not jobs or not (jobs[0].state == "RUNNING" or jobs[0].reason == "TimeLimit"):
        return status  # Slurm is ending the job: it was cancelled, or is being requeued already
    print("esengine: the run is not done; the job goes back into the queue", flush=True)
    signal.signal(
        signal.SIGTERM, signal.SIG_DFL
    )  # by which Slurm ends this start; one that ended by itself would be a failure
    refusal = requeue(allocation.job)
    if refusal is not None:
        return _give_up(f"Slurm said: {refusal}", status)
    time.sleep(_REQUEUE_S)
    return STOPPED


def _give_up(reason: str, status: int) -> int:
    print(f"esengine: the job is not requeued, since {reason}", file=sys.stderr, flush=True)
    return status or FAILED
