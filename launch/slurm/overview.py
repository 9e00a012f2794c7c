"""``esengine status`` and ``esengine cancel``: what the queue, the accounting and the runs' own
records say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from esengine.errors import UserError
from esengine.launch.runs.run_directory import JOB_FOLDER, RunDirectory
from esengine.launch.slurm.client import QueuedJob, cancel, queued_jobs, why_unknown
from esengine.launch.slurm.submission import Submission
from esengine.storage.checkpoint import checkpoints

_JOB = re.compile(r"\d+(_(\d+|\[.+\]))?$")
_COLUMNS = ("job", "state", "nodes", "time", "starts", "generation", "checkpoint", "return", "run")


@dataclass(frozen=True)
class Line:
    """A run, a job, or both.

    Attributes:
        run: the run directory, or None for a job that is none of ours or whose directory is not
            known.
        job: what Slurm knows of it, or None.
        forgotten: the number of its job where Slurm knows nothing of that any more.
    """

    run: Path | None
    job: QueuedJob | None
    forgotten: str | None = None


def show_status(what: str | None) -> int:
    """Print a line a run; returns the exit status. Raises UserError for a job or a folder that
    nobody knows.
    """
    lines = list(_lines(what))
    if not lines:
        print("no jobs in the queue; esengine status RUN tells of a run")
        return 0
    table = Table(box=None, pad_edge=False)
    for column in _COLUMNS:
        table.add_column(column, no_wrap=True)
    for line in lines:
        table.add_row(*map(escape, _cells(line)))
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    for job in {line.forgotten: None for line in lines if line.forgotten is not None}:
        console.print(f"of job {job} the run's own records tell: {why_unknown(job)}", markup=False)
    for line in lines:
        _print_end_of_log(console, line, alone=len(lines) == 1)
    return 0


def cancel_job(what: str) -> int:
    """End a job by its name, or the job of a run; returns the exit status. Raises UserError if
    there is none.
    """
    job = what
    if not _JOB.match(what):
        submission = _submission(Path(what))
        if submission is None:
            raise UserError(
                f"cancel needs a job, or a run that was submitted, got {what!r}; esengine status "
                f"lists the jobs"
            )
        job = _job_of(submission, Path(what))
    if not any(not known.ended for known in queued_jobs(job)):
        raise UserError(
            f"cancel needs a job that waits or runs, got {job}, which does neither; esengine "
            f"status lists the jobs"
        )
    cancel(job)
    print(f"cancelled {job}; what its run has done is kept")
    return 0


def _lines(what: str | None) -> Iterator[Line]:
    if what is None:
        for job in queued_jobs():
            yield from _spread(job, _submission_of(job))
    elif _JOB.match(what) and not Path(what).exists():
        jobs = queued_jobs(what)
        submissions = [_submission_of(job) for job in jobs] or [None]
        if not jobs:
            raise UserError(
                f"a job must be known to Slurm, got {what}: {why_unknown(what)}; "
                "name its run directory, which keeps its own records"
            )
        for job, submission in zip(jobs, submissions, strict=True):
            yield from _spread(job, submission)
    else:
        yield from _lines_of_run(Path(what))


def _lines_of_run(run: Path) -> Iterator[Line]:
    submission = _submission(run)
    if submission is None:  # a script of the user's own, if it was a job at all
        starts = RunDirectory.open(run).starts()
        job = starts[-1].get("job") if starts else None
        jobs = queued_jobs(job) if job else []
        yield Line(run, jobs[0]) if jobs else Line(run, None, job)
        return
    jobs = queued_jobs(_job_of(submission, run))
    seen = set()
    for job in jobs:
        for line in _spread(job, submission):
            seen.add(line.run)
            yield line
    if submission.first_seed is None or run.absolute() != submission.directory:
        if not jobs:
            yield Line(run, None, submission.job)
        return
    for folder in sorted(
        submission.directory.glob("seed-*"), key=lambda path: int(path.name.partition("-")[2])
    ):
        if folder not in seen:  # Slurm has forgotten its task
            yield Line(folder, None, submission.job)


def _spread(job: QueuedJob, submission: Submission | None) -> Iterator[Line]:
    """A line a job; tasks that wait together are one."""
    task = job.job.partition("_")[2] or None
    alone = task is None or task.isdigit()
    yield Line(submission.run_of(task) if submission is not None and alone else None, job)


def _submission_of(job: QueuedJob) -> Submission | None:
    """The submission that a job came from, by where its log goes."""
    folder = Path(job.log).parent
    return Submission.of(folder.parent) if folder.name == JOB_FOLDER else None


def _submission(run: Path) -> Submission | None:
    """The submission of a run, of an array's folder, or of the array that a run is a task of."""
    run = run.absolute()
    return Submission.of(run) or (
        Submission.of(run.parent) if run.name.startswith("seed-") else None
    )


def _job_of(submission: Submission, run: Path) -> str:
    """The job of a run, or of all runs of an array."""
    if submission.first_seed is None or run.absolute() == submission.directory:
        return submission.job
    return f"{submission.job}_{int(run.name.removeprefix('seed-')) - submission.first_seed}"


def _cells(line: Line) -> list[str]:
    job = line.job
    cells = ["", "", "", ""]
    if job is not None:
        reason = (
            f" ({job.reason})" if job.reason and not job.ended and job.state != "RUNNING" else ""
        )
        time = f"{job.used} of {job.limit.lower()}" if job.state == "RUNNING" else job.used
        cells = [job.job, job.state.lower() + reason, job.nodes, time]
    if line.run is None or not (line.run / "config.json").exists():
        return [*cells, "0" if line.run is not None else "", "", "", "", str(line.run or "")]
    directory = RunDirectory(line.run)
    starts, rows, done = directory.starts(), directory.metrics.rows(), directory.done()
    if done is not None:
        cells[1] = "done" if job is None or job.ended else cells[1]
    elif job is None:
        cells[1] = str(starts[-1].get("outcome", "no word")) if starts else "not started"
    last = next(
        (
            row["episode_return_eval"]
            for row in reversed(rows)
            if row.get("episode_return_eval") is not None
        ),
        None,
    )
    shown = done["final_return"] if done is not None and done["final_return"] is not None else last
    newest = checkpoints(directory.checkpoints)
    return [
        *cells,
        str(len(starts)),
        f"{rows[-1]['generation'] if rows else 0} of {directory.config().train.max_generations}",
        newest[-1].name if newest else "",
        "" if shown is None else f"{shown:.4g}",
        str(line.run),
    ]


def _print_end_of_log(console: Console, line: Line, alone: bool) -> None:
    """The log's name and its last lines, where one run is asked for or a job has failed."""
    log = Path(line.job.log) if line.job is not None and line.job.log else None
    failed = line.job is not None and line.job.state in (
        "FAILED",
        "NODE_FAIL",
        "TIMEOUT",
        "OUT_OF_MEMORY",
    )
    if log is None or not log.is_file() or not (alone or failed):
        return
    console.print(f"{log}:", markup=False)
    for text in (
        log.read_bytes()[-4096:].decode(errors="replace").replace("\0", "").splitlines()[-6:]
    ):
        console.print(f"  {text}", markup=False)
