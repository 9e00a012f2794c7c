"""The settings of ``esengine submit``."""

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
"""The options of sbatch that the job of a run sets itself, and what to use instead."""

_ARRAY = re.compile(r"^\d+(-\d+(:\d+)?)?(,\d+(-\d+(:\d+)?)?)*(%\d+)?$")


@dataclass(frozen=True)
class SubmitSettings:
    """Submit a run as a Slurm job that requeues itself until the run is done: esengine submit
    [flags] -- train METHOD ...
    """

    nodes: str = "1"
    """Number of nodes, or a range such as 1-4; each start of the job takes the nodes that are free.
    """
    ntasks_per_node: int = 1
    """Workers per node, one per core; the master is not counted."""
    cpus_per_task: int | None = None
    """Cores per rank."""
    mem: str | None = None
    """Memory per node, such as 64G."""
    time: str | None = None
    """Time limit of one start, such as 04:00:00; the run takes as many starts as it needs."""
    partition: str | None = None
    """Partition to run in."""
    account: str | None = None
    """Account to charge."""
    qos: str | None = None
    """Quality of service."""
    constraint: str | None = None
    """Features that nodes must have; results are equal bit for bit on processors of one type."""
    gres: str | None = None
    """Generic resources."""
    array: str | None = None
    """One run per task, such as 0-5%3 for six tasks, three at a time; task N has the seed --seed +
    N and its own folder.
    """
    dependency: str | None = None
    """Jobs to wait for, such as afterok:123."""
    mail_user: str | None = None
    """Address for mail when the job ends or fails."""
    job_name: str | None = None
    """Name in the queue; default the method and the task."""
    sbatch: tuple[str, ...] = ()
    """Another option of sbatch, as key=value or key; may be given several times."""
    setup: tuple[str, ...] = ()
    """Shell line to run first, such as "module load openmpi"; may be given several times."""

    launcher: Literal["mpirun", "srun"] = "mpirun"
    """Program that starts the ranks: mpirun, or srun --mpi=pmix if a site requires it; under srun a
    worker that dies ends the start.
    """
    bind_to: Literal["none", "core"] = "none"
    """Bind each rank to its own cores; only if the job has its nodes alone, or if Slurm confines
    jobs to their cores.
    """
    stop_before: int = 120
    """Seconds before the time limit at which the run is saved and the job requeued."""
    max_requeues: int = 50
    """Largest number of starts after the first. Two starts without progress also end the job."""
    dry_run: bool = False
    """Print the script and submit nothing."""

    def check(self) -> None:
        """Raises UserError for values out of range, and for options that the job sets itself."""
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
        """Whether the number of nodes is a range, of which each start takes what is free."""
        return not self.nodes.isdigit()

    def options(self) -> list[tuple[str, str | None]]:
        """The options of sbatch, name and value, without those that depend on the run.

        For a range of nodes they give cores per node in place of tasks per node. From tasks per
        node Slurm computes the number of tasks only at the first start, so that a requeued job
        would wait for as many nodes as it had.
        """
        named = (field for field in fields(self) if field.name.replace("_", "-") in SBATCH_OPTIONS)
        pairs = [(field.name.replace("_", "-"), getattr(self, field.name)) for field in named]
        if self.open_nodes:
            cores = self.ntasks_per_node * (self.cpus_per_task or 1)
            tasks = ("ntasks-per-node", self.ntasks_per_node)
            pairs = [("mincpus", cores) if pair == tasks else pair for pair in pairs]
        options: list[tuple[str, str | None]] = [
            (name, str(value)) for name, value in pairs if value is not None
        ]

        has_mail_type = any(text.startswith("mail-type") for text in self.sbatch)
        if self.mail_user is not None and not has_mail_type:
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
