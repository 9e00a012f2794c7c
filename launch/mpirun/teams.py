"""Teams of ranks: how a worker starts one on its node, and how large a team may be."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from esengine.errors import UserError
from esengine.isolation.teams import Launching
from esengine.launch.mpirun.error_filter import start_filter
from esengine.launch.mpirun.local_ranks import (
    environment_of_ranks,
    files_of_mpi_in,
    find_mpirun,
    launch_folder,
)
from esengine.launch.mpirun.mpi_needs import MPIRUN_VARIABLE, btl_of_one_machine, output_of
from esengine.launch.mpirun.slurm_allocation import Allocation, is_interactive_step
from esengine.ranks.launch_variables import (
    FOLDER_VARIABLE,
    WORKER_VARIABLE,
    is_launched,
    variable,
    without_launch,
)
from esengine.ranks.world import available_cores

_PROGRAM = "esengine.launch.training.team_rank"


def check_team(size: int, workers: int | None) -> None:
    """Raises UserError for teams that have no place.

    Args:
        size: ranks of a team.
        workers: what the user asked for; each has a team.
    """
    mpirun_of_teams()
    if is_launched():
        return
    allocation = Allocation.current()
    if allocation is not None and not is_interactive_step():
        cores = allocation.cpus_per_task
        if cores % size:
            raise UserError(
                f"--ranks-per-member must divide the processor cores of a task of this Slurm job, "
                f"got {size} for {cores}; ask for --cpus-per-task {size}"
            )
    elif workers is None and size > available_cores():
        raise UserError(
            f"--ranks-per-member must be at most the processor cores of this machine, got {size} "
            f"for {available_cores()}; use --workers 1 to let the ranks share them"
        )


def mpirun_of_teams() -> str:
    """The path of the mpirun that starts teams. Raises UserError if there is none."""
    mpirun = find_mpirun()
    if output_of(mpirun, "--version").startswith("slurm"):
        raise UserError(
            f"--ranks-per-member must be used with an mpirun, which starts a team on its node, got "
            f"{MPIRUN_VARIABLE}={mpirun}; name the mpirun of your MPI there"
        )
    return mpirun


@contextmanager
def launching(size: int, worker: int) -> Iterator[Launching]:
    """How one team of a worker is started, with a folder that lasts as long as the ``with`` block.

    Raises:
        UserError: there is no mpirun, or no folder can be written.
    """
    mpirun = mpirun_of_teams()
    command = [mpirun]
    with _folder(size) as path:
        folder = Path(path)
        environment = without_launch(environment_of_ranks(folder)) | files_of_mpi_in(folder)
        environment[WORKER_VARIABLE] = str(worker)
        if "Open MPI" in output_of(mpirun, "--version"):
            command += ["--bind-to", "none", "--map-by", ":OVERSUBSCRIBE"]
            own = {"OMPI_MCA_mtl": "^ofi", "OMPI_MCA_osc": "^ucx"}
            own |= {"OMPI_MCA_mpi_yield_when_idle": "1"}
            environment |= {**own, "OMPI_MCA_btl": btl_of_one_machine(mpirun)}
        command += ["-n", str(size), sys.executable, "-P", "-m", _PROGRAM]
        yield Launching(command, environment, folder, start_filter)


def _folder(size: int) -> AbstractContextManager[Path | str]:
    """A new folder of a team: within that of the launch, whose launcher removes it in any case, or
    one by itself.
    """
    outer = variable(FOLDER_VARIABLE)
    if outer is None or not Path(outer).is_dir():
        return launch_folder(size)
    return tempfile.TemporaryDirectory(prefix="team-", dir=outer, ignore_cleanup_errors=True)
