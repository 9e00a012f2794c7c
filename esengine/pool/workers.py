"""The master's view of its workers: those alive, the leaders of nodes, and replacements.

If the leader of a node dies, another rank of the node takes over, since it also has the noise table
open. It creates new shared files, receives the current publications, and the other ranks of the
node follow it. If all ranks of a node have died, its first replacement leads it.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from esengine.errors import WorkerError
from esengine.pool.fault_rules import FaultRules
from esengine.pool.rank_state import RankState
from esengine.ranks import World, mailbox, messages
from esengine.ranks.guard import REPLACEMENT_VARIABLE

if TYPE_CHECKING:
    from mpi4py import MPI

_MOST_EARLY_DEATHS = 3  # in a row, of replacements that have not served yet, before giving up
# A replacement's first unit may take `_SLOWER` times the slowest first unit so far, and `_START_S`.
_SLOWER = 3.0
_START_S = 5.0
_ELECTED = -1  # among the missing publications of a leader that has not reported its address yet


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
        vacancies: number of dead workers that are not replaced yet.
    """

    host: str
    ranks: set[int]
    leader: int | None
    address: str | None = None
    missing: set[int] = field(default_factory=set)
    vacancies: int = 0


class Workers:
    """The workers of a pool.

    Args:
        world: the ranks.
        rank_state: the master's.
        rules: whether to replace dead workers.

    Attributes:
        ranks: the workers that take tasks.
        arriving: replacements that were started and do not serve yet.
        num_lost: number of workers that have died.
    """

    def __init__(self, world: World, rank_state: RankState, rules: FaultRules) -> None:
        assert world.mail is not None
        assert rank_state.memory is not None
        self._world = world
        self._rank_state = rank_state
        self.mail = world.mail
        self._nodes = [Node(world.hosts[ranks[0]], set(ranks), ranks[0]) for ranks in world.nodes]
        self._nodes[0].address = rank_state.memory.address
        self._node_of = {rank: node for node in self._nodes for rank in node.ranks}

        died_earlier = self._node_of.keys() - world.living - {0}  # while another pool was open
        for rank in died_earlier:
            self._node_of.pop(rank).ranks.discard(rank)

        self.ranks = sorted(world.living)
        self.arriving: set[int] = set()
        self.num_lost = 0
        self._early_deaths = 0
        self._next_rank = world.size
        self._respawn = rules.respawn and world.tolerant and world.num_pools == 1
        self._sending: list[tuple[MPI.Request | None, bytes]] = []  # requests and their bodies

    @property
    def can_go_on(self) -> bool:
        """Whether there is a worker, or a replacement on the way."""
        return bool(self.ranks or self.arriving)

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
            if rank in self.arriving:
                self.arriving.discard(rank)
                self._early_deaths += 1

            if rank in self.ranks:
                self.ranks.remove(rank)
            node = self._node_of.pop(rank, None)
            if node is not None:
                node.ranks.discard(rank)
                node.vacancies += 1
                if node.leader == rank:
                    self._elect(node)

        for node in self._nodes:
            self._fill(node)

        return lost

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
            images = self._rank_state.images()
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
            self._early_deaths = 0

    def _fill(self, node: Node) -> None:
        """Start the replacements of a node if its leader is known, or if it has no ranks left."""
        while node.vacancies and self._respawn:
            if self._early_deaths >= _MOST_EARLY_DEATHS:
                self._give_up(f"{self._early_deaths} replacements died before they served")
            elif node.address is not None or not node.ranks:
                node.vacancies -= 1
                self._replace(node)
            else:
                return  # until the new leader, or the first replacement, reports its address

    def _replace(self, node: Node) -> None:
        from mpi4py import MPI

        rank = self._next_rank
        self._next_rank += 1
        info = MPI.Info.Create()
        if node.host != self._world.host:
            info.Set("host", node.host)

        info.Set("wdir", os.getcwd())
        command = [f"{REPLACEMENT_VARIABLE}={rank}", *sys.orig_argv]
        try:
            link = MPI.COMM_SELF.Spawn("/usr/bin/env", command, maxprocs=1, info=info)
        except MPI.Exception as error:
            self._give_up(error.Get_error_string())
            return

        link.Set_errhandler(MPI.ERRORS_RETURN)
        node.ranks.add(rank)
        self._node_of[rank] = node
        self._world.living.add(rank)
        self.arriving.add(rank)
        if self.mail.connect(rank, link):
            self._world.send_state(rank, node.address)

    def _give_up(self, reason: str) -> None:
        self._respawn = False
        print(
            f"esengine: workers that die are not replaced any more: {reason}",
            file=sys.stderr,
            flush=True,
        )
