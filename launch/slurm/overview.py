"""``esengine status`` and ``esengine cancel``, from the queue, the accounting and the records of
runs.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.table import Table

from esengine.errors import UserError, printable, put, shown
from esengine.launch.runs.run_directory import JOB_FOLDER, RunDirectory
from esengine.launch.runs.run_set import directories_of, is_set, runs_of_set
from esengine.launch.settings.flags import parse
from esengine.launch.settings.help import Positional
from esengine.launch.slurm.client import QueuedJob, cancel, queued_jobs, why_unknown
from esengine.launch.slurm.submission import Submission
from esengine.launch.terminal.output import marked
from esengine.ranks import StopRequest
from esengine.storage.files import read_end

_JOB = re.compile(r"\d+(_(\d+|\[.+\]))?$")
_RUN_OF_ARRAY = re.compile(r"seed-([0-9]{1,15})")
_WIDEST = 10_000
_COLUMNS = ("job", "state", "nodes", "time", "starts", "generation", "checkpoint", "return", "run")


@dataclass(frozen=True)
class Line:
    """A line of the status: a run, a job, or both.

    Attributes:
        run: the run directory, or None if the job has none that is known.
        job: Slurm's record of the job, or None.
        unlisted: the number of a job that Slurm no longer lists, or None.
    """

    run: Path | None
    job: QueuedJob | None
    unlisted: str | None = None


@dataclass(frozen=True)
class StatusSettings:
    """Print the progress of submitted runs from the queue, the accounting and the runs' records."""

    what: Annotated[str | None, Positional()] = None
    """A run directory, the folder of an array, or a job; default all your queued jobs."""


@dataclass(frozen=True)
class CancelSettings:
    """End a job, an array or one of its tasks. Its runs keep a checkpoint and are not requeued."""

    job: Annotated[str, Positional()]
    """A job such as 123 or 123_4, or a run directory."""


def status_command(argv: list[str], stop: StopRequest) -> int:
    """Print a line per run; returns the exit status. Raises UserError for an unknown job or run."""
    lines = list(_lines(parse(StatusSettings, argv, "esengine status").what))
    if not lines:
        put("no jobs in the queue; esengine status RUN shows a run")
        return 0

    table = Table(box=None, pad_edge=False)
    for column in _COLUMNS:
        table.add_column(column, no_wrap=True)
    for line in lines:
        table.add_row(*map(marked, _cells(line, alone=len(lines) == 1)))
    console = Console(highlight=False, soft_wrap=True)
    wide = console.options.update(max_width=_WIDEST)  # a terminal breaks the lines
    console.width = max(console.width, console.measure(table, options=wide).maximum)
    console.print(table)

    for job in dict.fromkeys(line.unlisted for line in lines if line.unlisted is not None):
        reason = why_unknown(job)
        source = printable(f"the state of job {job} is from the run's records: {reason}")
        console.print(source, markup=False)
    for line in lines:
        _print_end_of_log(console, line, alone=len(lines) == 1)
    return 0


def cancel_command(argv: list[str], stop: StopRequest) -> int:
    """End a job by its name, or the job of a run; returns the exit status. Raises UserError for a
    job that does not exist.
    """
    what = parse(CancelSettings, argv, "esengine cancel").job
    job = what
    if not _JOB.match(what):
        submission = _submission(Path(what))
        if submission is None:
            raise UserError(
                f"cancel needs a job, or a run that was submitted, got {what!r}; esengine status "
                f"lists the jobs"
            )
        job = _job_of(submission, Path(what))

    if all(known.ended for known in queued_jobs(job)):
        raise UserError(
            f"cancel needs a job that waits or runs, got {job}, which does neither; esengine "
            f"status lists the jobs"
        )
    cancel(job)
    put(f"cancelled {job}; its run keeps a checkpoint")
    return 0


def _lines(what: str | None) -> Iterator[Line]:
    if what is not None and (Path(what).exists() or not _JOB.match(what)):
        for run in runs_of_set(Path(what)) if is_set(Path(what)) else [Path(what)]:
            yield from _lines_of_run(run)
        return
    jobs = queued_jobs(what)
    if what is not None and not jobs:
        raise UserError(
            f"a job must be known to Slurm, got {what}: {why_unknown(what)}; "
            "name its run directory, which keeps its own records"
        )
    for job in jobs:
        yield _line_of(job, _submission_of(job))


def _lines_of_run(run: Path) -> Iterator[Line]:
    try:
        submission = _submission(run)
    except UserError as error:
        warnings.warn(f"{error} (left out)", stacklevel=2)
        submission = None
    if submission is None:  # the run of a custom script, or of no job
        starts = RunDirectory.open(run).starts()
        job = starts[-1].get("job") if starts else None
        jobs = queued_jobs(job) if job else []
        yield Line(run, jobs[0]) if jobs else Line(run, None, job)
        return

    jobs = queued_jobs(_job_of(submission, run))
    lines = [_line_of(job, submission) for job in jobs]
    yield from lines
    if submission.first_seed is None or run.absolute() != submission.directory:
        if not jobs:
            yield Line(run, None, submission.job)
        return
    seen = {line.run for line in lines}
    folders = {_seed_of(path): path for path in submission.directory.glob("seed-*")}
    for seed, folder in sorted((seed, path) for seed, path in folders.items() if seed is not None):
        if seed >= submission.first_seed and folder not in seen:  # Slurm no longer lists its task
            yield Line(folder, None, submission.job)


def _line_of(job: QueuedJob, submission: Submission | None) -> Line:
    """The line of a job; tasks that wait together have one line."""
    task = job.job.partition("_")[2] or None
    alone = task is None or task.isdigit()
    return Line(submission.run_of(task) if submission is not None and alone else None, job)


def _submission_of(job: QueuedJob) -> Submission | None:
    """The submission that a job belongs to, by the folder of its log."""
    folder = Path(job.log).parent
    with suppress(UserError):
        return Submission.of(folder.parent) if folder.name == JOB_FOLDER else None
    return None


def _submission(run: Path) -> Submission | None:
    """The submission of a run, of the folder of an array, or of the array that a run belongs to."""
    run = run.absolute()
    found = Submission.of(run)
    if found is not None or _seed_of(run) is None:
        return found
    of_array = Submission.of(run.parent)
    return None if of_array is None or of_array.first_seed is None else of_array


def _seed_of(run: Path) -> int | None:
    """The seed of the run of an array, by its folder; None for another folder."""
    found = _RUN_OF_ARRAY.fullmatch(run.name)
    return int(found[1]) if found else None


def _job_of(submission: Submission, run: Path) -> str:
    """The name of the job of a run, or of all runs of an array."""
    seed = _seed_of(run)
    if submission.first_seed is None or seed is None or run.absolute() == submission.directory:
        return submission.job
    return f"{submission.job}_{seed - submission.first_seed}"


def _cells(line: Line, alone: bool) -> list[str]:
    """The texts of a line, one for each column. Raises UserError for a damaged run that stands
    alone; one of several is left out, with a warning.
    """
    job = line.job
    cells = ["", "", "", ""]
    if job is not None:
        has_reason = job.reason not in ("", "None") and job.state not in ("RUNNING", "COMPLETED")
        reason = f" ({job.reason})" if has_reason else ""
        time = f"{job.used} of {job.limit.lower()}" if job.state == "RUNNING" else job.used
        cells = [job.job, job.state.lower() + reason, job.nodes, time]
    if line.run is not None and is_set(line.run):
        return [*cells, *_cells_of_set(line.run), str(line.run)]
    if line.run is None or not (line.run / "config.json").exists():
        return [*cells, "0" if line.run is not None else "", "", "", "", str(line.run or "")]

    try:
        directory = RunDirectory.open(line.run)
        starts = directory.starts()
        rows = directory.last_rows()
    except UserError as error:
        if alone:
            raise
        warnings.warn(f"{error} (left out)", stacklevel=2)
        return [*cells[:1], "damaged", *cells[2:], "", "", "", "", str(line.run)]

    done = directory.done_if_whole()
    if done is not None:
        cells[1] = "done" if job is None or job.ended else cells[1]
    elif job is None:
        cells[1] = str(starts[-1].get("outcome", "unknown")) if starts else "not started"

    returns = [row.get("episode_return_eval") for row in rows]
    returns.append(None if done is None else done["final_return"])
    last = directory.config().train.max_generations
    of_all = "" if last is None else f" of {last}"
    shown = next((value for value in reversed(returns) if value is not None), None)
    return [
        *cells,
        str(len(starts)),
        f"{rows[-1]['generation'] if rows else 0}{of_all}",
        directory.newest_checkpoint() or "",
        "" if shown is None else f"{shown:.4g}",
        str(line.run),
    ]


def _cells_of_set(path: Path) -> list[str]:
    """The texts of starts, generation, checkpoint and return for the job of a set."""
    try:
        runs = directories_of(path)
    except UserError as error:
        warnings.warn(f"{error} (left out)", stacklevel=2)
        return ["", "damaged", "", ""]
    starts = max((len(run.starts()) for run in runs), default=0)
    done = sum(run.done_if_whole() is not None for run in runs)
    return [str(starts), f"{done} of {len(runs)} runs", "", ""]


def _print_end_of_log(console: Console, line: Line, alone: bool) -> None:
    """Print the name and the last lines of a log, for a single run or for a job that failed."""
    log = Path(line.job.log) if line.job is not None and line.job.log else None
    failures = ("FAILED", "NODE_FAIL", "TIMEOUT", "OUT_OF_MEMORY")
    failed = line.job is not None and line.job.state in failures
    if log is None or not log.is_file() or not (alone or failed):
        return

    try:
        end = read_end(log, 4096).decode(errors="replace").replace("\0", "")
    except (OSError, ValueError):
        return  # it is another user's, or being rotated
    console.print(f"{shown(log)}:", markup=False)
    for text in end.splitlines()[-6:]:
        console.print(f"  {shown(text)}", markup=False)
