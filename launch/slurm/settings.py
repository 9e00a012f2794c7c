"""What ``esengine submit`` asks Slurm for: a field here is a flag."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Literal

from esengine.checks import at_least
from esengine.errors import UserError, listed

_NAMES = """
account acctg-freq array batch bb bbf begin chdir cluster-constraint clusters comment constraint
container contiguous core-spec cores-per-socket cpu-freq cpus-per-gpu cpus-per-task deadline
delay-boot dependency distribution error exclude exclusive export export-file extra
extra-node-info get-user-env gid gpu-bind gpu-freq gpus gpus-per-node gpus-per-socket
gpus-per-task gres gres-flags hint hold input job-name kill-on-invalid-dep licenses mail-type
mail-user mcs-label mem mem-bind mem-per-cpu mem-per-gpu mincpus network nice no-kill no-requeue
nodefile nodelist nodes ntasks ntasks-per-core ntasks-per-gpu ntasks-per-node ntasks-per-socket
open-mode output overcommit oversubscribe parsable partition power prefer priority profile
propagate qos quiet reboot requeue reservation segment signal sockets-per-node spread-job stepmgr
switches test-only thread-spec threads-per-core time time-min tmp tres-bind tres-per-task uid
use-min-nodes verbose wait wait-all-nodes wckey wrap
"""
SBATCH_OPTIONS = frozenset(_NAMES.split())
OURS = {
    "signal": "--stop-before",
    "requeue": "--max-requeues",
    "no-requeue": "--max-requeues 0",
    "open-mode": "nothing: logs are appended to",
    "output": "nothing: logs go into the run directory",
    "error": "nothing: logs go into the run directory",
    "no-kill": "nothing: a job that lost a node is requeued",
    "wrap": "the command after --",
    "parsable": "nothing: the job's id is printed",
    "wait": "esengine status",
}
"""Options of sbatch that a run's job sets itself, and what to use instead."""

_ARRAY = re.compile(r"^\d+(-\d+(:\d+)?)?(,\d+(-\d+(:\d+)?)?)*(%\d+)?$")


@dataclass(frozen=True)
class SubmitSettings:
    """Submit a run as a Slurm job that requeues itself until the run is done: esengine submit
    [flags] -- train METHOD ...
    """

    nodes: str = "1"
    """Nodes, or a range such as 1-4: a job that is requeued goes on with what it gets."""
    ntasks_per_node: int = 1
    """Ranks a node, one a core; the master comes on top."""
    cpus_per_task: int | None = None
    """Cores a rank."""
    mem: str | None = None
    """Memory a node, such as 64G."""
    time: str | None = None
    """Time limit of one start, such as 04:00:00; the run goes on over as many as it needs."""
    partition: str | None = None
    """Partition to run in."""
    account: str | None = None
    """Account to charge."""
    qos: str | None = None
    """Quality of service."""
    constraint: str | None = None
    """Features that nodes must have; processors of one type give the same bits."""
    gres: str | None = None
    """Generic resources."""
    array: str | None = None
    """One run a task, such as 0-5%3: task N has the seed --seed + N and a folder of its own, three
    at a time.
    """
    dependency: str | None = None
    """Jobs to wait for, such as afterok:123."""
    mail_user: str | None = None
    """Mail here when the job ends or fails."""
    job_name: str | None = None
    """Name in the queue; default the method and what it trains on."""
    sbatch: tuple[str, ...] = ()
    """Any other option of sbatch as key=value, or as key for one without value; once for each."""
    setup: tuple[str, ...] = ()
    """Shell line to run first in the job, such as "module load openmpi"; once for each."""

    launcher: Literal["mpirun", "srun"] = "mpirun"
    """What starts the ranks: mpirun or, where a site wants it, srun --mpi=pmix, under which a dead
    worker ends the start.
    """
    bind_to: Literal["none", "core"] = "none"
    """Bind each rank to cores of its own; only on nodes that the job has alone, or that Slurm
    confines jobs on.
    """
    stop_before: int = 120
    """Seconds before the time limit at which the run is saved and the job requeued."""
    max_requeues: int = 50
    """Starts beyond the first before the job gives up; a job that makes no progress gives up at the
    second.
    """
    dry_run: bool = False
    """Print the script and submit nothing."""

    def check(self) -> None:
        """Raises UserError for what sbatch would refuse less clearly, or what would undo the job's
        own options.
        """
        at_least(self, 1, "ntasks_per_node", "cpus_per_task", "stop_before")
        at_least(self, 0, "max_requeues")
        if self.array is not None and not _ARRAY.match(self.array):
            raise UserError(
                f"--array must be task numbers such as 0-5%3 or 1,4,7, got {self.array!r}; see "
                f"man sbatch"
            )
        for text in self.sbatch:
            self._check_option(text.partition("=")[0].removeprefix("--"))

    @property
    def open_nodes(self) -> bool:
        """Whether the number of nodes is a range, of which each start takes what is there."""
        return not self.nodes.isdigit()

    def options(self) -> list[tuple[str, str | None]]:
        """sbatch's options by name, without those that depend on the run.

        A range of nodes goes with cores a node in place of tasks a node: from tasks a node Slurm
        computes the job's tasks once, at its first start, and a requeued job then waits for as many
        nodes as it had.
        """
        named = (field for field in fields(self) if field.name.replace("_", "-") in SBATCH_OPTIONS)
        pairs = [(field.name.replace("_", "-"), getattr(self, field.name)) for field in named]
        if self.open_nodes:
            cores = self.ntasks_per_node * (self.cpus_per_task or 1)
            pairs = [
                ("mincpus", cores) if name == "ntasks-per-node" else (name, value)
                for name, value in pairs
            ]
        options: list[tuple[str, str | None]] = [
            (name, str(value)) for name, value in pairs if value is not None
        ]
        if self.mail_user is not None and not any(
            text.startswith("mail-type") for text in self.sbatch
        ):
            options.append(("mail-type", "END,FAIL"))
        for text in self.sbatch:
            name, equals, value = text.removeprefix("--").partition("=")
            options.append((name, value if equals else None))
        return options

    def _check_option(self, name: str) -> None:
        flags = {field.name.replace("_", "-") for field in fields(self)}
        if name in OURS:
            raise UserError(
                f"--sbatch must leave {name} to the job, which sets it itself; use {OURS[name]}"
            )
        if name in flags:
            raise UserError(
                f"--sbatch must name an option that has no flag of its own, got {name}; use "
                f"--{name}"
            )
        if name not in SBATCH_OPTIONS:
            others = sorted(SBATCH_OPTIONS - flags - set(OURS))
            raise UserError(
                f"--sbatch must be key=value with one of sbatch's options, got {name!r}; they are "
                f"{listed(others)}"
            )
