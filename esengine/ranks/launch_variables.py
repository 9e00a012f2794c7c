"""What the launcher told this process, in environment variables.

They leave the environment once this rank has used them. Otherwise a program that a member starts
would take this rank's place in its MPI world.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

FOLDER_VARIABLE: Final = "ESENGINE_SHARED_FOLDER"
"""Folder of the local launcher that started this rank."""
LAUNCH_VARIABLE: Final = "ESENGINE_LAUNCH"
"""The same folder. It stays in the environment, so that what user code starts is known by it."""
REPLACEMENT_VARIABLE: Final = "ESENGINE_REPLACEMENT"
"""Rank of a process that was started in place of a worker that died."""
LINK_VARIABLE: Final = "ESENGINE_LINK"
"""How such a process reaches its master, see `links`."""
WORKER_VARIABLE: Final = "ESENGINE_WORKER"
"""Set for user code: the rank of this process, which tells copies of an environment apart. The
master, or a process that is alone, has 0; a replacement has a number of its own.
"""
TOLERANT_VARIABLE: Final = "OMPI_MCA_mpi_ft_enable"
"""Set by ``mpirun --with-ft ulfm`` in every rank."""

_STEP_SIZE = "SLURM_STEP_NUM_TASKS"
_SIZE_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", _STEP_SIZE)
_RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")
_PREFIXES = ("PMIX_", "PMI_", "PMI2_", "OMPI_", "PRTE_", "OPAL_", "HYDRA_", "HYDI_", "MPI_LOCAL")
_STEP = ("SLURM_STEP_", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_TASK_PID")
# For a child that runs mpirun, and for the file that Open MPI leaves of a process that is alone.
_KEPT = ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_MCA_btl_sm_backing_directory")

_left: dict[str, str] = {}  # those that have left the environment


def variable(name: str) -> str | None:
    """The value that the launcher gave a variable, also after it has left the environment."""
    return os.environ.get(name, _left.get(name))


def leave_environment() -> None:
    """Remove the launcher's variables, so that a child of this process is a world of its own."""
    if not is_launched():
        return
    for name in [name for name in os.environ if _is_of_the_launch(name)]:
        _left[name] = os.environ.pop(name)


def without_launch(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables for a program that is a world of its own: none of a launcher, and none of
    Slurm, in whose job its mpirun would start ranks on all nodes.
    """
    return {
        name: value
        for name, value in environment.items()
        if not (_is_of_the_launch(name) or name.startswith("SLURM_"))
    }


def _is_of_the_launch(name: str) -> bool:
    if name.startswith(_KEPT):
        return False
    return name.startswith((*_PREFIXES, *_STEP)) or name in (FOLDER_VARIABLE, LINK_VARIABLE)


def is_launched() -> bool:
    """Whether a launcher started this process as a rank, even as the only one.

    An interactive shell of Slurm is a step of one task, but no launch.
    """
    sizes = {name: variable(name) or "" for name in _SIZE_VARIABLES}
    if sizes[_STEP_SIZE] == "1":
        del sizes[_STEP_SIZE]
    return is_replacement() or any(size.isdigit() for size in sizes.values())


def launched_size() -> int:
    """The number of ranks that the launcher reports; 1 outside of a launch."""
    for name in _SIZE_VARIABLES:
        if (value := variable(name) or "").isdigit():
            return int(value)
    return 1


def launched_rank() -> int:
    """The rank that the launcher gave this process, also where MPI did not connect it; else 0."""
    for name in _RANK_VARIABLES:
        if (value := variable(name) or "").isdigit():
            return int(value)
    return 0


def is_replacement() -> bool:
    """Whether this process was started in place of a worker that died."""
    return variable(LINK_VARIABLE) is not None


def is_tolerant() -> bool:
    """Whether the launcher keeps a job running after a rank has died."""
    return (variable(TOLERANT_VARIABLE) or "").lower() in ("1", "true", "yes")
