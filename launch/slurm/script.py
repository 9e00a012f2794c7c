"""The batch script of a job: text from one pure function of a record."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

_HEAD = """\
# Written by esengine submit. Slurm signals this process {stop_before} s before the time limit; the run is
# then saved, and the job requeued until the run is done.
set -e
"""
_SAVES_WHEN_ASKED = "trap '' USR1 # until esengine listens to it"


@dataclass(frozen=True)
class JobScript:
    """All that a batch script says.

    Attributes:
        options: of sbatch, name and value in order; a value of None is an option without one.
        setup: shell lines that go before the run, such as ``module load openmpi``.
        variables: environment of the run.
        program: what runs esengine, such as ``("/path/to/python", "-P", "-m", "esengine")``.
        arguments: of esengine.
        directory: what the job's run is kept in; None for a command that keeps none, which is then
            not requeued.
        first_seed: seed of array task 0, or None if the job is no array. Task N has seed
            ``first_seed`` + N and its own folder.
        stop_before_s: seconds before the time limit at which the run is saved.
        max_requeues: starts beyond the first.
        ntasks_per_node: ranks a node where the options leave the number of nodes open, else None.
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


def render(job: JobScript) -> str:
    """The text of a job's batch script."""
    lines = [
        "#!/bin/bash",
        *(_header(name, value) for name, value in job.options if fits_a_line(value)),
    ]
    lines += ["", _HEAD.format(stop_before=job.stop_before_s).rstrip(), *job.setup]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in job.variables]
    if job.ntasks_per_node is not None:
        lines.append(f'export SLURM_TASKS_PER_NODE="{job.ntasks_per_node}(x$SLURM_JOB_NUM_NODES)"')
    command = shlex.join(job.program)
    if job.directory is not None:
        lines.append(_SAVES_WHEN_ASKED)
        command += f" job --stop-before {job.stop_before_s} --max-requeues {job.max_requeues} --"
    for argument in job.arguments:
        command += _continued(argument)
    if job.directory is not None and job.first_seed is not None:
        lines.append(f"seed=$(({job.first_seed} + SLURM_ARRAY_TASK_ID))")
        command += f' \\\n  --seed "$seed" --run-dir {shlex.quote(job.directory)}/seed-"$seed"'
    elif job.directory is not None and job.arguments[0] == "train":
        command += f" \\\n  --run-dir {shlex.quote(job.directory)}"
    return "\n".join([*lines, f"exec {command}", ""])


def options_beside(job: JobScript) -> list[str]:
    """Options that cannot stand in a script, for sbatch's command line."""
    return [f"--{name}={value}" for name, value in job.options if not fits_a_line(value)]


def fits_a_line(value: str | None) -> bool:
    """Whether an ``#SBATCH`` line can hold the value; one with a line break cannot."""
    return value is None or not any(character in value for character in "\n\r\0")


def _header(name: str, value: str | None) -> str:
    return f"#SBATCH --{name}" if value is None else f"#SBATCH --{name}={_quoted(value)}"


def _quoted(value: str) -> str:
    """As sbatch reads its lines: quotes and backslashes as in a shell, and a # begins a comment."""
    plain = value and all(
        character.isalnum() or character in "-_.,:/=%@+*[]" for character in value
    )
    return value if plain else shlex.quote(value)


def _continued(argument: str) -> str:
    """An argument on the line, flags on a line of their own."""
    return (" \\\n  " if argument.startswith("--") else " ") + shlex.quote(argument)
