"""The Slurm job of this process, read from Slurm's environment variables."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Allocation:
    """A job's resources.

    Attributes:
        job: the job's name to Slurm's commands, ``123`` or, for a task of an array, ``123_4``.
        num_nodes: nodes of this start.
        num_tasks: tasks on all nodes together.
        cpus_per_task: cores per task.
        restarts: starts before this one.
    """

    job: str
    num_nodes: int
    num_tasks: int
    cpus_per_task: int
    restarts: int

    @classmethod
    def current(cls, variables: Mapping[str, str] = os.environ) -> Allocation | None:
        """The job of this process, or None outside of one."""
        job = job_name(variables)
        if job is None:
            return None
        nodes = _number(variables, "SLURM_JOB_NUM_NODES", 1)
        tasks = count_tasks(variables.get("SLURM_TASKS_PER_NODE", "")) or nodes
        cores = _number(variables, "SLURM_CPUS_PER_TASK", 1)
        return cls(job, nodes, tasks, cores, _number(variables, "SLURM_RESTART_COUNT", 0))


def is_interactive_step(variables: Mapping[str, str] = os.environ) -> bool:
    """Whether this process runs in a step of one task, such as the shell of ``srun --pty``, whose
    number of tasks says nothing about the job.
    """
    return variables.get("SLURM_STEP_NUM_TASKS") == "1" and variables.get("SLURM_NTASKS") == "1"


def cores_of_node(variables: Mapping[str, str] = os.environ) -> int | None:
    """The cores of this job on this node, or None if Slurm does not say."""
    return _number(variables, "SLURM_CPUS_ON_NODE", 0) or None


def job_name(variables: Mapping[str, str] = os.environ) -> str | None:
    """The job of this process as Slurm's commands take it, or None outside of one.

    For a task of an array it names the task, since the plain number would requeue the whole array.
    """
    if "SLURM_ARRAY_TASK_ID" in variables:
        return f"{variables.get('SLURM_ARRAY_JOB_ID')}_{variables['SLURM_ARRAY_TASK_ID']}"
    return variables.get("SLURM_JOB_ID")


def count_tasks(text: str) -> int:
    """The sum of Slurm's tasks per node, such as ``4(x2),3`` for two nodes of 4 and one of 3."""
    return sum(
        int(tasks) * int(times or 1) for tasks, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    )


def _number(variables: Mapping[str, str], name: str, default: int) -> int:
    text = variables.get(name, "")
    return int(text) if text.isdigit() else default
