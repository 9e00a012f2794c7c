"""Publishing the shared state of a generation: one copy to every node, along a tree of the nodes'
leaders.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from esengine.errors import Interrupted
from esengine.pool.rank_state import RankState
from esengine.pool.workers import Workers
from esengine.ranks import mailbox, messages
from esengine.ranks.node_memory import pack, unpack
from esengine.ranks.signals import StopRequest
from esengine.ranks.world import Backoff, World, place_in_tree

if TYPE_CHECKING:
    from mpi4py import MPI


class Publisher:
    """The master's part.

    Args:
        rank_state: the master's, which leads its node.
        workers: the workers, or None when the process is alone.
        stop: ends the waiting for the nodes.

    Attributes:
        version: of the last publication.
    """

    def __init__(self, rank_state: RankState, workers: Workers | None, stop: StopRequest) -> None:
        self._rank_state, self._workers, self._stop = rank_state, workers, stop
        self.version = 0
        self._requests: list[
            MPI.Request | None
        ] = []  # of the last publication: they hold what is being sent

    def publish(self, header: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> int:
        """One copy to every node, along the tree of leaders; returns when all nodes have it."""
        self.version += 1
        if self._workers is None:
            self._rank_state.publish(self.version, header, arrays)
            return self.version
        mail, tree, apart = self._workers.mail, self._workers.tree(), self._workers.apart()
        _, children = place_in_tree(tree, 0)
        if children or apart:
            publication = messages.encode_publication(self.version, tree, pack(header, arrays))
            self._requests = [
                messages.send_publication(mail, leader, publication)
                for leader in (*children, *apart)
            ]
        self._rank_state.publish(self.version, header, arrays)
        self._await_ready(self._workers, {*tree[1:], *apart})
        return self.version

    def _await_ready(self, workers: Workers, waiting: set[int]) -> None:
        """Wait until all nodes have what was published; those below a leader that died are sent it
        directly.
        """
        mail, backoff = workers.mail, Backoff()
        while waiting or not all([mail.sent(request) for request in self._requests]):
            if self._stop.is_final:
                raise Interrupted(self._stop.received)
            body = mail.poll()
            if body is not None:
                ready = (
                    mail.tag == mailbox.READY_TAG and messages.decode_ready(body) == self.version
                )
                if ready and mail.source in waiting:
                    waiting.discard(mail.source)
                else:
                    workers.handle(body)
            elif mail.lost:
                lost = waiting & set(workers.take_dead())
                waiting -= lost
                if lost:  # a second copy does no harm
                    image = dict(self._rank_state.images())[self.version]
                    publication = messages.encode_publication(self.version, [], image)
                    self._requests += [
                        messages.send_publication(mail, leader, publication) for leader in waiting
                    ]
            else:
                backoff.pause()


class Relay:
    """A leader's part in publishing: pass a publication on to its children in the tree, lay it out,
    tell the master.

    Args:
        world: the ranks; others than leaders are never sent a publication.
        rank_state: lays publications out.
    """

    def __init__(self, world: World, rank_state: RankState) -> None:
        assert world.mail is not None
        self._world, self._mail, self._rank_state = world, world.mail, rank_state
        self._requests: list[MPI.Request | None] = []

    def publish(self, body: bytearray) -> None:
        """Pass on and lay out."""
        self.finish()
        version, leaders, image = messages.decode_publication(body)
        _, children = place_in_tree(leaders, self._world.rank)
        self._requests = [messages.send_publication(self._mail, child, body) for child in children]
        self._rank_state.publish(version, *unpack(image))
        messages.send_ready(self._mail, version)

    def finish(self) -> None:
        """Wait until the children have received what was passed on; past the master's patience the
        ranks are aborted.
        """
        backoff = Backoff()
        while not all([self._mail.sent(request) for request in self._requests]):
            backoff.pause()
        self._requests = []
