"""The master's view of its workers: those alive, the leaders of nodes, and replacements.

If the leader of a node dies, another rank of the node takes over, since it also has the noise table
open. It creates new shared files, receives the current publications, and the other ranks of the
node follow it. If all ranks of a node have died, its first replacement leads it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from esengine.errors import WorkerError
from esengine.pool.fault_rules import FaultRules
from esengine.pool.rank_states import RankStates
from esengine.ranks import World, guard, mailbox, messages
from esengine.ranks.births import Birth, Caller, birth_time
from esengine.ranks.links import Link
from esengine.ranks.mailbox import Request
from esengine.ranks.successors import DIED, HUNG, MOST_FAILURES

_TEND_S = 0.05  # between two looks at the births
_PAUSE_S = 1.0  # after the first birth that the system refused; more after the next
# A replacement's first unit may take `_SLOWER` times the slowest first unit so far, and `_START_S`.
_SLOWER = 3.0
_START_S = 5.0
_ELECTED = -1  # among the missing publications of a leader that has not reported its address yet


@dataclass
class Vacancy:
    """A worker that has died and is not replaced yet.

    Attributes:
        failures: of the births in its place so far, see `successors.MOST_FAILURES`.
        not_before: when the next one may begin, by `time.monotonic`.
        until: on another host than the master's, when its replacement must have come.
    """

    failures: int = 0
    not_before: float = 0.0
    until: float = 0.0


@dataclass
class Arrival:
    """A replacement that has not done a task yet.

    Attributes:
        birth: its process.
        node: the node that it joins.
        address: that it looks for the node's shared files at, or None if it has to lead the node.
        failures: of the births before it.
    """

    birth: Birth | Caller
    node: Node
    address: str | None
    failures: int


@dataclass
class Node:
    """A node of the launch.

    Attributes:
        host: name of the machine.
        ranks: its living workers.
        leader: the rank that receives publications for the node, or None if there is none.
        address: where the leader's files are, or None until it has reported it.
        missing: publications that a new leader has not confirmed yet. When there are none, the
            other ranks follow it.
        vacancies: the dead workers that are not replaced yet.
        callers: links to replacements on another host that wait for an address.
    """

    host: str
    ranks: set[int]
    leader: int | None
    address: str | None = None
    missing: set[int] = field(default_factory=set)
    vacancies: list[Vacancy] = field(default_factory=list)
    callers: list[Link] = field(default_factory=list)


class Workers:
    """The workers of a pool.

    Args:
        world: the ranks.
        rank_states: the master's.
        rules: whether to replace dead workers.

    Attributes:
        ranks: the workers that take tasks.
        arriving: replacements that were started and do not serve yet.
        num_lost: number of workers that have died.
    """

    def __init__(self, world: World, rank_states: RankStates, rules: FaultRules) -> None:
        assert world.mail is not None
        assert rank_states.memory is not None
        self._world = world
        self._rank_states = rank_states
        self.mail = world.mail
        self._nodes = [Node(world.hosts[ranks[0]], set(ranks), ranks[0]) for ranks in world.nodes]
        self._nodes[0].address = rank_states.memory.address
        self._node_of = {rank: node for node in self._nodes for rank in node.ranks}
        self._home_of = dict(self._node_of)  # also of dead ranks

        died_earlier = self._node_of.keys() - world.living - {0}  # while another pool was open
        for rank in died_earlier:
            self._node_of.pop(rank).ranks.discard(rank)

        self.ranks = sorted(world.living)
        self.arriving: set[int] = set()
        self.num_lost = 0
        self._arrivals: dict[int, Arrival] = {}  # also those that have arrived, up to a first task
        self._tended = 0.0
        self._birth_s = birth_time(world.compile_s)
        self._leading_s = birth_time(world.compile_s, world.table_s)
        self._next_rank = world.size
        self._respawn = rules.respawn and world.tolerant and world.num_pools == 1
        self._sending: list[tuple[Request | None, bytes]] = []  # requests and their bodies
        self.mail.when_idle = self.tend

    @property
    def can_go_on(self) -> bool:
        """Whether there is a worker, or a replacement to come."""
        return bool(self.ranks or self.arriving or any(node.vacancies for node in self._nodes))

    def host_of(self, rank: int) -> str:
        """The machine of a worker, also of one that has died."""
        return self._home_of[rank].host

    def tree(self) -> list[int]:
        """The leaders that forward publications, the master first. Replacements do not, since they
        are connected with the master alone.
        """
        return [leader for leader in self._leaders() if leader < self._world.size]

    def replaced_leaders(self) -> list[int]:
        """The leaders that are replacements, to which publications are sent directly."""
        return [leader for leader in self._leaders() if leader >= self._world.size]

    def _leaders(self) -> list[int]:
        """The leaders that have the earlier publications. A newly elected leader gets all of them
        when it answers.
        """
        return [
            node.leader
            for node in self._nodes
            if node.leader is not None and _ELECTED not in node.missing
        ]

    def take_dead(self) -> list[int]:
        """Remove the ranks that were detected as dead, elect leaders and start replacements.

        Returns:
            The dead ranks.
        """
        lost = list(self.mail.lost)
        self.mail.lost[:] = []
        for rank in lost:
            self._world.rank_died = True
            self.num_lost += 1
            self._world.living.discard(rank)
            self.arriving.discard(rank)
            if rank in self.ranks:
                self.ranks.remove(rank)

            node = self._node_of.pop(rank, None)
            if node is None:
                continue
            if self._respawn:
                node.vacancies.append(self._vacancy(rank, node))
            node.ranks.discard(rank)
            if node.leader == rank:
                self._elect(node)

        for node in self._nodes:
            self._fill(node)

        return lost

    def _vacancy(self, rank: int, node: Node) -> Vacancy:
        """What a dead worker leaves."""
        arrival = self._arrivals.pop(rank, None)
        if node.host != self._world.host:  # its guard there has left a successor
            return Vacancy(until=time.monotonic() + MOST_FAILURES * self._leading_s)
        if arrival is None:
            return Vacancy()

        if arrival.address is not None and arrival.address != node.address:
            return Vacancy(arrival.failures)  # it looked for a leader that has died
        return Vacancy(arrival.failures + (HUNG if arrival.birth.is_late else DIED))

    def tend(self) -> None:
        """Look after the births: those that take too long are ended, and begun again.

        The mailbox calls it while there is no message.
        """
        now = time.monotonic()
        if now - self._tended < _TEND_S:
            return

        self._tended = now
        self._world.nursery.reap()
        for rank, arrival in list(self._arrivals.items()):
            birth = arrival.birth
            if birth.link.tag in (mailbox.RESULT_TAG, mailbox.FAILURE_TAG):
                del self._arrivals[rank]
            elif birth.has_ended():
                self.mail.give_up(rank)
            elif birth.is_late and (rank in self.arriving or birth.is_suspended):
                birth.kill(f"it did not serve within {birth.time_s:.0f} s")
                self.mail.give_up(rank)

        if self._world.door is not None:
            for rank, link in self._world.door.arrivals():
                if self._respawn and rank in self._home_of:  # its death may be detected later
                    self._home_of[rank].callers.append(link)
                else:
                    link.close()

        for node in self._nodes:
            self._fill(node)

    def end_births(self) -> None:
        """End the replacements that are not born yet, and start no more, since the work is done."""
        self._respawn = False
        for rank, arrival in list(self._arrivals.items()):
            if rank in self.arriving or arrival.birth.is_suspended:
                arrival.birth.kill()
                self.mail.give_up(rank)
                self._world.living.discard(rank)

        for node in self._nodes:
            node.vacancies.clear()
            while node.callers:
                node.callers.pop().close()

    def handle(self, body: bytearray) -> None:
        """Handle a message that is no result.

        Raises:
            WorkerError: the message reports an exception.
        """
        source = self.mail.source
        tag = self.mail.tag
        node = self._node_of.get(source)

        if tag == mailbox.ERROR_TAG:
            details = messages.decode_error(body)
            raise WorkerError(f"worker of rank {source} on {details['host']}: {details['text']}")
        if node is None:
            return  # the rank has died since

        if tag == mailbox.LEADING_TAG:
            self._follow(node, source, body.decode())
        elif tag == mailbox.BEGUN_TAG:
            began_s = _SLOWER * messages.decode_begun(body) + _START_S
            self._world.start_s = max(self._world.start_s or 0.0, began_s)
        elif tag == mailbox.READY_TAG:
            self._arrive(source)
            if node.leader is None:  # it died while this replacement joined the node
                self._elect(node)
            node.missing.discard(messages.decode_ready(body))
            if not node.missing and node.leader == source:
                self._announce(node)

    def _elect(self, node: Node) -> None:
        """Let another rank lead a node. If there is none, its first replacement will lead it."""
        node.leader = node.address = None
        node.missing = set()
        candidates = sorted(node.ranks & set(self.ranks))
        if candidates:
            node.leader = candidates[0]
            node.missing = {_ELECTED}
            messages.send_lead(self.mail, node.leader)

    def _follow(self, node: Node, leader: int, address: str) -> None:
        """Store the address of a leader's files. A new leader gets the current publications."""
        is_known = node.leader == leader and not node.missing
        node.leader = leader
        node.address = address
        self._arrive(leader)
        if not is_known:
            images = self._rank_states.images()
            node.missing = {version for version, _ in images}
            for version, image in images:
                publication = messages.encode_publication(version, [], image)
                request = messages.send_publication(self.mail, leader, publication)
                self._sending.append((request, publication))

            if not images:
                self._announce(node)

        self._sending = [item for item in self._sending if not self.mail.sent(item[0])]
        self._fill(node)

    def _announce(self, node: Node) -> None:
        """Send the address of a node's new leader to the other ranks of the node."""
        if self.num_lost and node.address is not None and node is not self._nodes[0]:
            for rank in sorted(node.ranks - {node.leader}):
                messages.send_follow(self.mail, rank, node.address)

    def _arrive(self, rank: int) -> None:
        if rank in self.arriving:
            self.arriving.discard(rank)
            self.ranks.append(rank)

    def _fill(self, node: Node) -> None:
        """Start the replacements of a node, or let those of another host in. If the node has ranks,
        its leader must be known.
        """
        if node.host != self._world.host:
            self._expire(node)
        while (node.address is not None or not node.ranks) and self._fill_one(node):
            continue

    def _fill_one(self, node: Node) -> bool:
        """Fill one vacancy of a node, if that is possible now."""
        if node.host != self._world.host:
            if not (node.callers and node.vacancies):
                return False
            node.vacancies.pop()
            self._join(node, self._new_rank(), Caller(node.callers.pop()), 0)
            return True

        now = time.monotonic()
        for vacancy in node.vacancies:
            if vacancy.not_before <= now:
                node.vacancies.remove(vacancy)
                self._replace(node, vacancy.failures)
                return True
        return False

    def _expire(self, node: Node) -> None:
        """Give up workers of another host in whose place nobody has come."""
        now = time.monotonic()
        expired = [vacancy for vacancy in node.vacancies if vacancy.until < now]
        for vacancy in expired:
            node.vacancies.remove(vacancy)
            self._report_loss(node)

    def _replace(self, node: Node, failures: int) -> None:
        if failures >= MOST_FAILURES:
            self._report_loss(node)
            return

        rank = self._new_rank()
        time_s = self._birth_s if node.address else self._leading_s
        try:
            birth = self._world.nursery.start(rank, time_s)
        except OSError as error:
            guard.report(f"a worker on {node.host} cannot be replaced now: {error}")
            pause_s = _PAUSE_S * 2**failures
            node.vacancies.append(Vacancy(failures + DIED, time.monotonic() + pause_s))
            return

        self._join(node, rank, birth, failures)

    def _join(self, node: Node, rank: int, birth: Birth | Caller, failures: int) -> None:
        """Make a process a rank of a node that is still to arrive."""
        node.ranks.add(rank)
        self._node_of[rank] = self._home_of[rank] = node
        self._arrivals[rank] = Arrival(birth, node, node.address, failures)
        self._world.living.add(rank)
        self.arriving.add(rank)
        self.mail.connect(rank, birth.link)
        self._world.send_state(rank, node.address)

    def _new_rank(self) -> int:
        rank = self._next_rank
        self._next_rank += 1
        return rank

    def _report_loss(self, node: Node) -> None:
        guard.report(
            f"a worker on {node.host} that died is not replaced any more, since several "
            f"replacements in a row did not serve"
        )
