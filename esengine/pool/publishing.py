"""Publishing the shared state of a generation: one copy to every node, along a tree of the nodes'
leaders.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from esengine.errors import Interrupted
from esengine.pool.rank_state import Desk
from esengine.pool.workers import Crew
from esengine.ranks import mailbox, messages
from esengine.ranks.node_memory import pack, unpack
from esengine.ranks.signals import StopRequest
from esengine.ranks.world import Backoff, World, place_in_tree

if TYPE_CHECKING:
    from mpi4py import MPI


class Publisher:
    """The master's part.

    Args:
        desk: the master's, which leads its node.
        crew: the workers, or None when the process is alone.
        stop: ends the waiting for the nodes.

    Attributes:
        version: of the last publication.
    """

    def __init__(self, desk: Desk, crew: Crew | None, stop: StopRequest) -> None:
        self._desk, self._crew, self._stop = desk, crew, stop
        self.version = 0
        self._requests: list[
            MPI.Request | None
        ] = []  # of the last publication: they hold what is being sent

    def publish(self, header: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> int:
        """One copy to every node, along the tree of leaders; returns when all nodes have it."""
        self.version += 1
        if self._crew is None:
            self._desk.publish(self.version, header, arrays)
            return self.version
        mail, tree, apart = self._crew.mail, self._crew.tree(), self._crew.apart()
        _, children = place_in_tree(tree, 0)
        if children or apart:
            publication = messages.encode_publication(self.version, tree, pack(header, arrays))
            self._requests = [
                messages.send_publication(mail, leader, publication)
                for leader in (*children, *apart)
            ]
        self._desk.publish(self.version, header, arrays)
        self._await_ready(self._crew, {*tree[1:], *apart})
        return self.version

    def _await_ready(self, crew: Crew, waiting: set[int]) -> None:
        """Wait until all nodes have what was published; those below a leader that died are sent it
        directly.
        """
        mail, backoff = crew.mail, Backoff()
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
                    crew.handle(body)
            elif mail.lost:
                lost = waiting & set(crew.bury())
                waiting -= lost
                if lost:  # a second copy does no harm
                    image = dict(self._desk.images())[self.version]
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
        desk: lays publications out.
    """

    def __init__(self, world: World, desk: Desk) -> None:
        assert world.mail is not None
        self._world, self._mail, self._desk = world, world.mail, desk
        self._requests: list[MPI.Request | None] = []

    def publish(self, body: bytearray) -> None:
        """Pass on and lay out."""
        self.finish()
        version, leaders, image = messages.decode_publication(body)
        _, children = place_in_tree(leaders, self._world.rank)
        self._requests = [messages.send_publication(self._mail, child, body) for child in children]
        self._desk.publish(version, *unpack(image))
        messages.send_ready(self._mail, version)

    def finish(self) -> None:
        """Wait until the children have received what was passed on; past the master's patience the
        ranks are aborted.
        """
        backoff = Backoff()
        while not all([self._mail.sent(request) for request in self._requests]):
            backoff.pause()
        self._requests = []
