"""The master's view of its workers: who lives, who leads which node, and who comes in place of the
dead.

A node whose leader dies gets another one: a rank of the node, which has the noise table open, makes
shared files of its own, is sent all that is published, and the others are told where to look. A
node that has lost all its ranks begins anew with the first replacement.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from esengine.errors import WorkerError
from esengine.pool.fault_rules import FaultRules
from esengine.pool.rank_state import RankState
from esengine.ranks import mailbox, messages
from esengine.ranks.guard import REPLACEMENT_VARIABLE
from esengine.ranks.world import World

if TYPE_CHECKING:
    from mpi4py import MPI

_MOST_EARLY_DEATHS = (
    3  # replacements that die one after another before they have served, until no more are tried
)
_SLOWER, _START_S = (
    3.0,
    5.0,
)  # a replacement's first unit may take so much longer than the slowest first unit yet
_ELECTED = (
    -1
)  # stands among the missing publications of a leader that has not said yet where its files are


@dataclass
class Node:
    """A node of the launch.

    Attributes:
        host: the machine's name.
        ranks: its living workers.
        leader: who lays publications out, or None while there is nobody.
        address: where the leader's files are, once it has said so.
        missing: publications that a new leader has not laid out yet; the other ranks follow it when
            there are none.
        vacancies: workers that have died and are not replaced yet.
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
        rules: whether to replace the dead.

    Attributes:
        ranks: those that take tasks.
        arriving: replacements that have been started and do not serve yet.
        num_lost: workers that have died.
    """

    def __init__(self, world: World, rank_state: RankState, rules: FaultRules) -> None:
        assert world.mail is not None
        assert rank_state.memory is not None
        self._world, self._rank_state, self.mail = world, rank_state, world.mail
        self._nodes = [Node(world.hosts[ranks[0]], set(ranks), ranks[0]) for ranks in world.nodes]
        self._nodes[0].address = rank_state.memory.address
        self._node_of = {rank: node for node in self._nodes for rank in node.ranks}
        for rank in (
            self._node_of.keys() - world.living - {0}
        ):  # died while an earlier pool was open
            self._node_of.pop(rank).ranks.discard(rank)
        self.ranks = sorted(world.living)
        self.arriving: set[int] = set()
        self.num_lost, self._early_deaths, self._next_rank = 0, 0, world.size
        self._respawn = rules.respawn and world.tolerant and world.num_pools == 1
        self._sending: list[tuple[MPI.Request | None, bytes]] = []  # bodies that must be kept

    @property
    def can_go_on(self) -> bool:
        """Whether anybody works, or will."""
        return bool(self.ranks or self.arriving)

    def tree(self) -> list[int]:
        """Leaders that publications travel through, the master first. Replacements know nobody but
        the master.
        """
        return [leader for leader in self._leaders() if leader < self._world.size]

    def apart(self) -> list[int]:
        """Leaders that publications are sent to directly."""
        return [leader for leader in self._leaders() if leader >= self._world.size]

    def _leaders(self) -> list[int]:
        """Leaders that have what went before; one that has just been elected is sent everything
        when it answers.
        """
        return [
            node.leader
            for node in self._nodes
            if node.leader is not None and _ELECTED not in node.missing
        ]

    def take_dead(self) -> list[int]:
        """Strike off the ranks whose death was noticed, see to their nodes, and return them."""
        lost, self.mail.lost[:] = list(self.mail.lost), []
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
        """See to a message that is no result.

        Raises:
            WorkerError: it reports an exception.
        """
        source, tag = self.mail.source, self.mail.tag
        node = self._node_of.get(source)
        if tag == mailbox.ERROR_TAG:
            details = messages.decode_error(body)
            raise WorkerError(f"worker of rank {source} on {details['host']}: {details['text']}")
        if node is None:
            return  # of a rank that has died since
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
        """Have another rank lead a node; without one, its first replacement will."""
        node.leader = node.address = None
        node.missing = set()
        candidates = sorted(node.ranks & set(self.ranks))
        if candidates:
            node.leader = candidates[0]
            node.missing = {_ELECTED}
            messages.send_lead(self.mail, node.leader)

    def _follow(self, node: Node, leader: int, address: str) -> None:
        """A leader says where its files are; a new one is sent all that is published."""
        known, node.leader, node.address = (
            node.leader == leader and not node.missing,
            leader,
            address,
        )
        self._arrive(leader)
        if not known:
            images = self._rank_state.images()
            node.missing = {version for version, _ in images}
            for version, image in images:
                publication = messages.encode_publication(version, [], image)
                self._sending.append(
                    (messages.send_publication(self.mail, leader, publication), publication)
                )
            if not images:
                self._announce(node)
        self._sending = [item for item in self._sending if not self.mail.sent(item[0])]
        self._fill(node)

    def _announce(self, node: Node) -> None:
        """Tell the node's other ranks where to look, when there is something new about it."""
        if self.num_lost and node.address is not None and node is not self._nodes[0]:
            for rank in sorted(node.ranks - {node.leader}):
                messages.send_follow(self.mail, rank, node.address)

    def _arrive(self, rank: int) -> None:
        if rank in self.arriving:
            self.arriving.discard(rank)
            self.ranks.append(rank)
            self._early_deaths = 0

    def _fill(self, node: Node) -> None:
        """Start replacements where the node's leader is known, or where one has to begin the node
        anew.
        """
        while node.vacancies and self._respawn:
            if self._early_deaths >= _MOST_EARLY_DEATHS:
                self._give_up(f"{self._early_deaths} replacements died before they served")
            elif node.address is not None or not node.ranks:
                node.vacancies -= 1
                self._replace(node)
            else:
                return  # the new leader will say where it is, or the first replacement will

    def _replace(self, node: Node) -> None:
        from mpi4py import MPI

        rank, self._next_rank = self._next_rank, self._next_rank + 1
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
