"""The batch script of a job, as a pure function of a record."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

_HEAD = """\
# Written by esengine submit. Slurm signals this process {stop_before} s before the time limit; the run is
# then saved, and the job requeued until the run is done.
set -e
"""
_NAME_FAILURE = """\
trap 'echo "esengine: --setup must end with status 0, got $? from: $setup; add || true" >&2' EXIT"""
_IGNORE_SIGNAL = "trap '' USR1 # until esengine listens to it"


@dataclass(frozen=True)
class JobScript:
    """The content of a batch script.

    Attributes:
        options: options of sbatch, name and value in order; an option without a value has None.
        setup: shell lines before the run, such as ``module load openmpi``.
        variables: environment variables of the run.
        program: the words that run esengine, such as ``("/path/to/python", "-m", "esengine")``.
        arguments: the words after them.
        directory: the run directory; None for a command that has none, which is not requeued.
        first_seed: seed of array task 0, or None if the job is no array. Task N has seed
            ``first_seed`` + N and its own folder.
        stop_before_s: seconds before the time limit at which the run is saved.
        max_requeues: most starts after the first.
        ntasks_per_node: ranks per node if the options give a range of nodes, else None.
    """

    options: tuple[tuple[str, str | None], ...]
    setup: tuple[str, ...]
    variables: tuple[tuple[str, str], ...]
    program: tuple[str, ...]
    arguments: tuple[str, ...]
    directory: str | None
    first_seed: int | None
    stop_before_s: int
    max_requeues: int
    ntasks_per_node: int | None = None


def script_text(job: JobScript) -> str:
    """The text of a batch script."""
    headers = (_header(name, value) for name, value in job.options if _fits_a_line(value))
    lines = ["#!/bin/bash", *headers]
    lines += ["", _HEAD.format(stop_before=job.stop_before_s).rstrip(), *_setup(job.setup)]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in job.variables]
    if job.ntasks_per_node is not None:
        lines.append(f'export SLURM_TASKS_PER_NODE="{job.ntasks_per_node}(x$SLURM_JOB_NUM_NODES)"')

    command = shlex.join(job.program)
    if job.directory is not None:
        lines.append(_IGNORE_SIGNAL)
        command += f" job --stop-before {job.stop_before_s} --max-requeues {job.max_requeues} --"
    for argument in job.arguments:
        command += " \\\n  " if argument.startswith("--") else " "  # each flag begins a line
        command += shlex.quote(argument)

    if job.directory is not None and job.first_seed is not None:
        lines.append(f"seed=$(({job.first_seed} + SLURM_ARRAY_TASK_ID))")
        command += f' \\\n  --seed "$seed" --run-dir {shlex.quote(job.directory)}/seed-"$seed"'
    elif job.directory is not None and job.arguments[0] == "train":
        command += f" \\\n  --run-dir {shlex.quote(job.directory)}"
    return "\n".join([*lines, f"exec {command}", ""])


def _setup(lines: tuple[str, ...]) -> list[str]:
    """Shell lines, of which one that ends the script is named. A file that is sourced may do so,
    such as a ~/.bashrc that returns unless the shell is interactive.
    """
    if not lines:
        return []
    named = (f"setup={shlex.quote(line)}\n{line}" for line in lines)
    return [_NAME_FAILURE, *named, "trap - EXIT"]


def command_line_options(job: JobScript) -> list[str]:
    """The options that cannot stand in a script, for the command line of sbatch."""
    return [f"--{name}={value}" for name, value in job.options if not _fits_a_line(value)]


def _fits_a_line(value: str | None) -> bool:
    """Whether an ``#SBATCH`` line can hold a value, which a line break prevents."""
    return value is None or not any(character in value for character in "\n\r\0")


def _header(name: str, value: str | None) -> str:
    return f"#SBATCH --{name}" if value is None else f"#SBATCH --{name}={_quoted(value)}"


def _quoted(value: str) -> str:
    """Quote a value for sbatch, which reads quotes, backslashes and comments as a shell does."""
    return value if re.fullmatch(r"[\w.,:/=%@+*\[\]-]+", value) else shlex.quote(value)
