"""What an MPI needs of its launcher, by the library that ranks load and the version of mpirun."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import lru_cache

from esengine.launch.mpirun.slurm_allocation import Allocation

MPIRUN_VARIABLE = "ESENGINE_MPIRUN"
"""Names a launcher to use in place of the environment's mpirun, such as srun."""
_BTL_OF_ONE_MACHINE = ("self,vader", "self,sm")
"""How ranks of one machine reach each other in Open MPI 4, and since 5. None of them listens."""
_OTHER_MACHINES = ("PBS_NODEFILE", "LSB_HOSTS", "LSB_DJOB_HOSTFILE", "PE_HOSTFILE", MPIRUN_VARIABLE)
"""Variables of other schedulers, and of a user, that may take ranks to other machines."""


@lru_cache
def interface_of_ranks() -> str:
    """The name by which srun knows the interface of the MPI library that ranks load."""
    code = (
        "import mpi4py; mpi4py.rc.initialize = False; from mpi4py import MPI; "
        "print(MPI.Get_library_version())"
    )
    found = output_of(sys.executable, "-P", "-c", code)
    return "pmi2" if "MPICH" in found or "Intel" in found else "pmix"


def has_one_machine() -> bool:
    """Whether all ranks of a launch are on this machine."""
    allocation = Allocation.current()
    elsewhere = any(
        name in _OTHER_MACHINES or name.endswith("default_hostfile") for name in os.environ
    )
    return not elsewhere and (allocation is None or allocation.num_nodes == 1)


def btl_of_one_machine(mpirun: str) -> str:
    """The transports by which ranks of one machine reach each other, none of which listens."""
    found = re.search(r"Open MPI\)? v?(\d+)", output_of(mpirun, "--version"))
    return _BTL_OF_ONE_MACHINE[found is None or int(found[1]) >= 5]


def without_script(mpirun: str) -> str:
    """The program that an ``mpirun`` stands for. Intel MPI's is a shell script, which passes no
    signal on to the program that it runs.
    """
    program = os.path.join(os.path.dirname(mpirun), "mpiexec.hydra")
    if os.path.basename(mpirun) in ("mpirun", "mpiexec") and os.access(program, os.X_OK):
        return program if "Intel" in output_of(program, "--version") else mpirun
    return mpirun


@lru_cache
def output_of(*command: str) -> str:
    result = subprocess.run(
        command, capture_output=True, text=True, errors="replace", env=with_home(), check=False
    )
    return result.stdout


def with_home() -> dict[str, str]:
    """This process's environment with a ``HOME``, without which Open MPI starts nothing: that of
    the list of users or, for a user who is not in it, the root folder.
    """
    home = os.path.expanduser("~")
    return {"HOME": home if os.path.isabs(home) else "/", **os.environ}
