"""``esengine job``: inside a batch job, train on the tasks of the job, and requeue the job until
the run is done.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, TypedDict

from msgspec import Meta

from esengine.errors import UserError, put
from esengine.launch.mpirun.slurm_allocation import Allocation
from esengine.launch.runs.outcomes import BAD_INPUT, DONE, FAILED, STOPPED
from esengine.launch.runs.run_directory import JOB_FOLDER
from esengine.launch.settings.flags import parse, split_at_dashes
from esengine.launch.slurm.client import queued_jobs, requeue, time_left_s
from esengine.launch.slurm.job_task import JobTask, task_of
from esengine.launch.training.clocks import DEADLINE_VARIABLE
from esengine.ranks import StopRequest
from esengine.storage.files import write_json
from esengine.storage.records import read_record

IDLE_STARTS = 2
"""Successive starts without progress after which a job gives up."""
_HISTORY = "starts.json"
_REQUEUE_S = 60.0  # by then Slurm has ended the start


class _HistoryRecord(TypedDict):
    """``slurm/starts.json``: the starts without progress, and where the last one began."""

    job: str
    progress: str | None
    idle: Annotated[int, Meta(ge=0, lt=1 << 31)]


@dataclass(frozen=True)
class JobSettings:
    """Train on the tasks of this Slurm job, and requeue the job until the run is done: esengine job
    -- train ...
    """

    stop_before: int = 120
    """Seconds before the job's time limit at which the run is saved; give sbatch the same number in
    --signal=B:USR1@SECONDS.
    """
    max_requeues: int = 50
    """Largest number of starts after the first."""


def job_command(argv: list[str], stop: StopRequest) -> int:
    """Start or resume the run, and requeue the job if the run is not done then; returns the exit
    status.

    Raises:
        UserError: this is no batch job, or the command trains nothing.
    """
    own, arguments = split_at_dashes(argv)
    settings = parse(JobSettings, own, "esengine job")
    allocation = Allocation.current()
    if allocation is None:
        raise UserError(
            "job must run inside a Slurm job, found no SLURM_JOB_ID; use esengine submit, or "
            "sbatch and a script"
        )

    with stop.ending_at_once():
        task = task_of(arguments)
    again = allocation.restarts > 0 and task.is_begun
    if again and task.is_done:
        return DONE

    idle = _idle_starts(task, allocation)
    left_s = time_left_s(allocation.job)
    if left_s is not None:  # ranks must have ended a generation by then
        os.environ[DEADLINE_VARIABLE] = f"{time.time() + left_s - settings.stop_before:.0f}"
    began = task.progress
    status = (task.go_on if again else task.begin)(stop)
    if task.is_done:
        return DONE
    if status in (DONE, BAD_INPUT):
        return status
    if not task.is_begun:  # a start that failed leaves no run, and has said why
        return status

    idle = IDLE_STARTS if task.has_failed else idle + 1
    if task.progress != began:
        idle = 0
    return _requeue(allocation, settings, idle, status)


def _idle_starts(task: JobTask, allocation: Allocation) -> int:
    """The number of successive starts of this job that made no progress; records where this start
    begins.
    """
    path = task.path / JOB_FOLDER / _HISTORY
    here = task.progress
    idle = 0
    with suppress(UserError):  # the first start, or a damaged record
        history = read_record(path, _HistoryRecord)
        same = history["job"] == allocation.job and allocation.restarts > 0
        idle = history["idle"] + 1 if same and history["progress"] == here else 0
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"job": allocation.job, "progress": here, "idle": idle})
    return idle


def _requeue(allocation: Allocation, settings: JobSettings, idle: int, status: int) -> int:
    """Put the job back into the queue, unless that would be useless or against a cancellation."""
    if idle >= IDLE_STARTS:
        return _give_up("it made no progress", FAILED)
    if allocation.restarts >= settings.max_requeues:
        limit = f"--max-requeues {settings.max_requeues}"
        return _give_up(f"it was started {allocation.restarts + 1} times ({limit})", status)
    jobs = queued_jobs(allocation.job)
    if not jobs or not (jobs[0].state == "RUNNING" or jobs[0].reason == "TimeLimit"):
        return status  # Slurm ends the job: it was cancelled, or is being requeued already

    put("esengine: the run is not done; the job goes back into the queue", flush=True)
    # Slurm ends this start by SIGTERM; an exit status of its own would count as a failure.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    refusal = requeue(allocation.job)
    if refusal is not None:
        return _give_up(f"Slurm said: {refusal}", status)
    time.sleep(_REQUEUE_S)
    return STOPPED


def _give_up(reason: str, status: int) -> int:
    put(f"esengine: the job is not requeued, since {reason}", file=sys.stderr, flush=True)
    return status or FAILED
