"""The commands of Slurm, and their answers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

from esengine.errors import UserError

_FIELDS = (
    "JobArrayID:64,State:24,Reason:64,NumNodes:10,NodeList:256,TimeUsed:24,"
    "TimeLimit:24,RestartCnt:8,StdOut:4096"
)
_ENDED = (
    "COMPLETED",
    "CANCELLED",
    "FAILED",
    "TIMEOUT",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "BOOT_FAIL",
    "DEADLINE",
    "PREEMPTED",
)


@dataclass(frozen=True)
class QueuedJob:
    """A job, or a task of an array, as Slurm reports it.

    Attributes:
        job: its name in Slurm, ``123``, ``123_4``, or ``123_[5-9]`` for tasks that wait together.
        state: such as ``RUNNING``.
        reason: why it waits, in Slurm's words; empty if it does not.
        nodes: where it runs; empty while it waits.
        used: duration of this start.
        limit: time limit of a start.
        restarts: starts after the first; unknown to accounting.
        log: file of its output; accounting knows it only for jobs of ``esengine submit``.
    """

    job: str
    state: str
    reason: str = ""
    nodes: str = ""
    used: str = ""
    limit: str = ""
    restarts: str = ""
    log: str = ""

    @property
    def ended(self) -> bool:
        return self.state.startswith(_ENDED)


def submit_script(script: str, options: list[str]) -> str:
    """Submit a script with sbatch; returns the number of the job.

    Raises:
        UserError: sbatch refused it, with its reason.
    """
    result = _slurm("sbatch", "--parsable", *options, script)
    if result.returncode != 0:
        raise UserError(
            f"sbatch refused the job and said: {_words(result.stderr)}; change what it names, or "
            f"look at --dry-run"
        )
    return result.stdout.strip().split(";")[0]


def queued_jobs(job: str | None = None) -> list[QueuedJob]:
    """The jobs of this user, or one job with all its tasks, from the queue or the accounting.

    The queue drops ended jobs after some minutes. The accounting still lists them, if a site has
    one.
    """
    if job is not None and shutil.which("squeue") is None:  # a run that was copied from its cluster
        return []
    whose = ["--me"] if job is None else [f"--jobs={job}", "--states=all"]
    result = _slurm("squeue", "--noheader", *whose, f"--Format={_FIELDS}")
    if result.returncode == 0 and (result.stdout.strip() or job is None):
        return _parse_queue(result.stdout)
    return [] if job is None else _accounting(job)[0]


def why_unknown(job: str) -> str:
    """Why neither the queue nor the accounting lists a job."""
    if shutil.which("squeue") is None:
        return "this machine has no squeue to ask the queue with"
    return f"the queue does not know it, and {_accounting(job)[1]}"


def requeue(job: str) -> str | None:
    """Put a running job back into the queue; returns the reason if Slurm refuses, else None."""
    result = _slurm("scontrol", "requeue", job)
    # below 0, Slurm killed it as a part of the job
    return None if result.returncode <= 0 else _words(result.stderr)


def cancel(job: str) -> None:
    """End a job and all its tasks, or one task of an array. Raises UserError if Slurm
    refuses.
    """
    result = _slurm("scancel", "--verbose", job)
    if result.returncode != 0 or "error" in result.stderr.lower():
        raise UserError(f"scancel refused {job} and said: {_words(result.stderr)}")


def time_left_s(job: str) -> float | None:
    """Seconds until the limit of a running job, or None without a limit or an answer of Slurm."""
    result = _slurm("squeue", "--noheader", f"--jobs={job}", "--Format=TimeLeft")
    return parse_duration(result.stdout.strip()) if result.returncode == 0 else None


def parse_duration(text: str) -> float | None:
    """The seconds of Slurm's ``[D-][[HH:]MM:]SS``, or None for ``UNLIMITED`` and other words."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(?:(\d+):)?(\d+):)?(\d+)", text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _parse_queue(text: str) -> list[QueuedJob]:
    """Parse records of fixed widths in bytes, each followed by a line break; the name of a log may
    hold other line breaks.
    """
    widths = [int(field.partition(":")[2]) for field in _FIELDS.split(",")]
    records = os.fsencode(text)
    jobs = []
    for start in range(0, len(records), sum(widths) + 1):
        bounds = pairwise(accumulate(widths, initial=start))
        values = [os.fsdecode(records[low:high]).strip() for low, high in bounds]
        job, state, reason, _, nodes, used, limit, restarts, log = values
        reason = "" if reason == "None" else reason
        log = _expanded(log, job)
        jobs.append(QueuedJob(job, state, reason, nodes, used, limit, restarts, log))
    return jobs


def _expanded(log: str, job: str) -> str:
    """The name of a log file, from the pattern that squeue shows."""
    array, _, task = job.partition("_")
    values = {"%": "%", "j": array, "A": array, "a": task}
    return re.sub(r"%([%jAa])", lambda match: values[match[1]], log)


def _accounting(job: str) -> tuple[list[QueuedJob], str]:
    """The accounting's records of a job and its tasks, and the reason if there are none."""
    if shutil.which("sacct") is None:
        return [], "this machine has no sacct to ask the accounting with"

    result = _slurm(
        *("sacct", "--noheader", "--allocations", "--parsable2", "--delimiter=\x1f"),
        f"--jobs={job}",
        "--format=JobID,State,NodeList,Elapsed,Timelimit,SubmitLine",
    )
    if "storage is disabled" in result.stderr:
        return [], "this cluster keeps no accounting"
    if result.returncode != 0:
        return [], f"sacct said: {_words(result.stderr)}"
    lines = re.split(r"\n(?=\d\S*\x1f)", result.stdout.strip())  # a name may have line breaks
    rows = [line.split("\x1f") for line in lines]

    return [_accounted(*row) for row in rows if len(row) == 6], "neither does the accounting"


def _accounted(job: str, state: str, nodes: str, used: str, limit: str, line: str) -> QueuedJob:
    # `submit_script` wrote the line.
    script = re.search(r"--parsable (?:--.*?\s)?(/.*\.sbatch)$", line, re.DOTALL)
    log = "" if script is None else str(Path(script[1]).with_name(f"{job}.log"))
    nodes = "" if "assigned" in nodes else nodes
    return QueuedJob(job, state.split()[0], nodes=nodes, used=used, limit=limit, log=log)


def _slurm(*command: str) -> subprocess.CompletedProcess[str]:
    if shutil.which(command[0]) is None:
        more = ", or look at the script with --dry-run" if command[0] == "sbatch" else ""
        raise UserError(
            f"Slurm's {command[0]} must be on this machine, found none; run this on the cluster's "
            f"login node{more}"
        )

    return subprocess.run(
        command,
        env={**os.environ, "SLURM_TIME_FORMAT": "standard"},
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
    )


def _words(text: str) -> str:
    """Slurm's messages in one line, without the programs' names."""
    plain = os.fsencode(text.replace("\0", "")).decode(errors="replace")
    lines = [re.sub(r"^\w+: (error: )?", "", line).strip() for line in plain.splitlines()]
    return "; ".join(filter(None, lines)) or "nothing"
