"""The ranks of this run: those of an MPI launch, or this process alone.

No other module asks MPI for ranks and sizes. Waiting means polling with a back-off, since a blocked
MPI call keeps its core busy.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn, TypeVar

from threadpoolctl import threadpool_limits

from esengine.ranks import births, guard, mpi_library, shared_folder, successors, values
from esengine.ranks.agreement import Refusal, attempt, raise_first
from esengine.ranks.assembly import assemble
from esengine.ranks.backoff import Backoff
from esengine.ranks.launch_variables import (
    FOLDER_VARIABLE,
    WORKER_VARIABLE,
    is_replacement,
    is_tolerant,
    variable,
)
from esengine.ranks.signals import SIGNALS

if TYPE_CHECKING:
    from mpi4py import MPI

    from esengine.ranks.mailbox import Mailbox

T = TypeVar("T")

READY = "ready"
"""File in the launcher's folder: the pool is open, so a signal from now on finds something to save.
"""
MPI_IS_UP = "mpi-is-up"
"""File in that folder: MPI is up on all ranks."""
_FLUSH_S = 3.0  # for the last messages
_PART_VARIABLE = "ESENGINE_RANKS_PER_NODE"


class _State(NamedTuple):
    """What a replacement is told before it serves. `broadcasts` are the earlier ones, encoded."""

    rank: int
    size: int
    address: str | None
    start_s: float | None
    broadcasts: list[bytes]


class _Place(NamedTuple):
    """A rank's host, and the rank that leads its node."""

    leader: int
    host: str


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
        table_s: seconds in which one rank alone makes the noise table.
        nursery: the replacements that this master has started on its host.
        door: where those on other hosts reach this master; None if there are no other hosts.
        compile_s: seconds in which this rank compiled kernels.
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
        self._folder = variable(FOLDER_VARIABLE)
        self._folder_lock = None  # taken before MPI puts its segments into the folder
        if self._folder:
            self._folder_lock = shared_folder.join(Path(self._folder))

        prepare_rank()
        self.is_replacement = comm is None and is_replacement()
        self.comm = comm
        if comm is None and not self.is_replacement:
            self.comm = mpi_library.world_comm()
        if World.current is None and (self.is_replacement or self.comm is not None):
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
        self.tolerant = self.is_replacement or (self.comm is not None and is_tolerant())
        self.rank_died = False
        self.num_pools = 0
        self.address: str | None = None
        self.start_s: float | None = None
        self.table_s = 0.0
        self.compile_s = 0.0
        self._node: MPI.Comm | None = None
        self._broadcasts: list[bytes] = []  # earlier values, for replacements
        self.nursery = births.Nursery()
        self.door: successors.Door | None = None
        self._way_in: dict[str, Any] | None = None
        self.mail: Mailbox | None = None
        if self.is_replacement or self.comm is not None:
            self.mail = _mailbox(self.comm, self.tolerant)
        if self.is_replacement:
            self._receive_state()
        elif self.comm is not None:
            self._find_nodes(self.comm)

        self.living = set(range(1, self.size))
        os.environ[WORKER_VARIABLE] = str(self.rank)

    def _find_nodes(self, comm: MPI.Comm) -> None:
        from mpi4py import MPI

        self.rank = comm.rank
        self.size = comm.size
        self._mark(MPI_IS_UP)
        assemble(comm, births.age_s())
        self._node = _in_parts(comm.Split_type(MPI.COMM_TYPE_SHARED, key=self.rank))
        mpi_library.unname_segments()
        self.node_rank = self._node.rank
        self.node_size = self._node.size

        leader = values.broadcast(self._node, self.rank, int)
        places: list[_Place] = values.exchange(comm, _Place(leader, self.host), _Place)
        nodes: dict[int, list[int]] = {}
        for rank, (leader, _) in enumerate(places):
            nodes.setdefault(leader, []).append(rank)

        self.nodes = list(nodes.values())
        self.hosts = [host for _, host in places]
        if self.tolerant and len(set(self.hosts)) > 1:
            if self.is_master:
                self.door = successors.Door()
            own = self.door.way_in() if self.door else None
            self._way_in = values.broadcast(comm, own, dict[str, Any])

    def _receive_state(self) -> None:
        """Receive in a replacement what `send_state` of the master sends."""
        assert self.mail is not None
        self.mail.connect(0, births.link_to_master())
        self.rank_died = True
        state: _State = values.decode(self._receive_body(), _State)
        self.rank = state.rank
        self.size = state.size
        self.address = state.address
        self.start_s = state.start_s
        self._broadcasts = state.broadcasts
        self.node_rank = 0 if self.address is None else 1

    def send_state(self, rank: int, address: str | None) -> None:
        """Send a replacement the earlier broadcasts and the address of its node's shared files. It
        leads its node if there is no address.
        """
        state = _State(rank, self.size, address, self.start_s, self._broadcasts)
        self._send_body(rank, values.encode(state))

    def mark_serving(self, respawn: bool) -> None:
        """Note that this worker serves: from now on the launch survives its death.

        Args:
            respawn: whether to replace it then.
        """
        if self._way_in is not None and respawn and self.host != self.hosts[0]:
            time_s = births.birth_time(self.compile_s, self.table_s)
            guard.order_successor({**self._way_in, "time_s": time_s})
        guard.mark_serving()
        births.mark_served()

    def mark_ready(self) -> None:
        """Show the local launcher, if there is one, that the pool is open."""
        self._mark(READY)

    def _mark(self, name: str) -> None:
        if self._folder and self.is_master:
            Path(self._folder, name).touch()

    @property
    def is_master(self) -> bool:
        return self.rank == 0

    @property
    def num_workers(self) -> int:
        """The ranks that evaluate: all except the master, or the process itself if it is alone."""
        return max(1, self.size - 1)

    def broadcast(self, value: T | None, kind: Any) -> T:
        """The master's value on every rank. Call it only at set-up and at the end.

        Args:
            value: ignored on all other ranks.
            kind: the type that other ranks make of what they receive, see `values.decode`.
        """
        if self.mail is None:
            return value  # type: ignore[return-value]

        body = values.encode(value) if self.is_master else b""
        if self.comm is not None and not self.rank_died:
            if self.is_master and self.num_pools == 0:
                self._broadcasts.append(body)
            return values.broadcast(self.comm, value, kind, body)  # type: ignore[no-any-return]

        if self.is_master:
            for rank in sorted(self.living):
                self._send_body(rank, body)
            return value  # type: ignore[return-value]

        own = self._broadcasts.pop(0) if self._broadcasts else self._receive_body()
        return values.decode(own, kind)  # type: ignore[no-any-return]

    def node_broadcast(self, value: T | None, kind: Any) -> T:
        """The node leader's value on every rank of its node, see `broadcast`. Call it only at
        set-up.
        """
        if self._node is None:
            return value  # type: ignore[return-value]
        return values.broadcast(self._node, value, kind)  # type: ignore[no-any-return]

    def agree(self, action: Callable[[], T]) -> T:
        """Run ``action`` on every rank, and go on when all have done it. Call it only at set-up.

        Raises:
            UserError: on every rank, the first one that was raised on any rank.
            WorkerError: on every rank, if a worker raised another exception. That of the master
                itself is raised as it is, and ends the launch.
        """
        value, refusal = attempt(action, self.is_master or self.comm is None)
        refusals = [refusal]
        if self.comm is not None:
            self._barrier(self.comm)
            refusals = values.exchange(self.comm, refusal, Refusal | None)
        raise_first(refusals, self.hosts)
        return value  # type: ignore[return-value]

    def _send_body(self, rank: int, body: bytes) -> None:
        from esengine.ranks.mailbox import VALUE_TAG

        assert self.mail is not None
        self.mail.send(body, rank, VALUE_TAG)

    def _receive_body(self) -> bytes | bytearray:
        """The next value that the master sends to this rank alone, encoded."""
        from esengine.ranks.mailbox import VALUE_TAG

        assert self.mail is not None
        backoff = Backoff()
        while (body := self.mail.poll()) is None or self.mail.tag != VALUE_TAG:
            if 0 in self.mail.lost:
                self.die()
            backoff.pause()
        return body

    def die(self) -> NoReturn:
        """End this rank by a signal, the only end that fault-tolerant MPI reports to the others."""
        if self.is_replacement:
            os._exit(0)  # its end is seen on the link
        guard.mark_dying()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    def _barrier(self, comm: MPI.Comm) -> None:
        """Wait for all ranks without keeping the core busy."""
        request = comm.Ibarrier()
        backoff = Backoff()
        while not request.Test():
            backoff.pause()

    def leave(self, status: int) -> None:
        """Leave MPI in the way that `end` names. This is the last thing that a rank does.

        Args:
            status: the exit status of a forced end.
        """
        if self.mail is None or mpi_library.is_finalized():
            return

        for number in SIGNALS:  # a repeated request must not interrupt this
            signal.signal(number, signal.SIG_IGN)

        sys.stdout.flush()
        if self.end == "finalize":
            self.mail.flush(_FLUSH_S)
        may_end = self.living if self.end == "finalize" else set()
        self.nursery.close(lambda rank: rank in may_end)
        if self.end == "abort":
            if self.tolerant and not self.is_master:
                self.die()
            if self.comm is not None:
                self.comm.Abort(status or 1)

        guard.mark_leaving()
        if self.end == "exit" or self.rank_died or self.comm is None:
            if self.is_master and status and self.tolerant and self.comm is not None:
                # Without MPI_Finalize, mpirun waits for ever after a status other than 0.
                self.comm.Abort(status)

            self._leave_shared_folder()
            os._exit(0 if self.tolerant else status)

        mpi_library.finalize()
        self._leave_shared_folder()

    def _leave_shared_folder(self) -> None:
        if self._folder_lock is not None:
            shared_folder.leave(Path(self._folder or ""), self._folder_lock)


def _mailbox(comm: MPI.Comm | None, tolerant: bool) -> Mailbox:
    from esengine.ranks.mailbox import Mailbox

    return Mailbox(comm, tolerant)


def prepare_rank() -> None:
    """Start the guard or, in a replacement, find the link to the master. A process of a launch
    calls this first.
    """
    os.environ.pop(WORKER_VARIABLE, None)  # of a process that this one was started by
    if is_replacement():
        births.be_born()
    else:
        guard.guard_rank()


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


def available_cores() -> int:
    """The number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _in_parts(node: MPI.Comm) -> MPI.Comm:
    """The ranks of the node, or a part of them if ``ESENGINE_RANKS_PER_NODE`` is set."""
    size = os.environ.get(_PART_VARIABLE, "")
    return node.Split(node.rank // int(size), node.rank) if size.isdigit() and int(size) else node
