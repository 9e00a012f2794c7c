"""Publishing the shared state of a generation: one copy to every node, along a tree of the node
leaders.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from esengine.errors import Interrupted
from esengine.pool.dispatch import Dispatch
from esengine.pool.rank_state import RankState
from esengine.pool.rank_states import RankStates
from esengine.pool.workers import Workers
from esengine.ranks import StopRequest, World, mailbox, messages
from esengine.ranks.backoff import Backoff
from esengine.ranks.mailbox import Request
from esengine.ranks.node_memory import pack, unpack


class Publisher:
    """The master's end of publishing.

    Args:
        workers: the workers, or None when the process is alone.
        dispatch: takes the messages that arrive in the meantime.
        stop: ends the wait for the nodes.

    Attributes:
        version: of the last publication.
    """

    def __init__(
        self, workers: Workers | None, dispatch: Dispatch | None, stop: StopRequest
    ) -> None:
        self._workers = workers
        self._dispatch = dispatch
        self._stop = stop
        self.version = 0
        # Requests of the last publication; they keep the body alive.
        self._requests: list[Request | None] = []

    def publish(
        self, rank_state: RankState, header: dict[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> int:
        """Send one copy to every node along the tree of leaders, and return the version when all
        nodes have it.

        Args:
            rank_state: the master's, which leads its node.
            header, arrays: the state.
        """
        self.version += 1
        if rank_state.number:
            header = {**header, "run": rank_state.number}
        if self._workers is None or self._dispatch is None:
            rank_state.publish(self.version, header, arrays)
            return self.version

        mail = self._workers.mail
        tree = self._workers.tree()
        replaced = self._workers.replaced_leaders()
        _, children = messages.place_in_tree(tree, 0)
        if children or replaced:
            publication = messages.encode_publication(self.version, tree, pack(header, arrays))
            self._requests = [
                messages.send_publication(mail, leader, publication)
                for leader in (*children, *replaced)
            ]

        rank_state.publish(self.version, header, arrays)
        self._await_ready(self._workers, self._dispatch, rank_state, {*tree[1:], *replaced})
        return self.version

    def _await_ready(
        self, workers: Workers, dispatch: Dispatch, rank_state: RankState, waiting: set[int]
    ) -> None:
        """Wait until all nodes have the publication.

        If a leader dies, send it directly to all nodes that have not confirmed it.
        """
        mail = workers.mail
        backoff = Backoff()
        while waiting or not all([mail.sent(request) for request in self._requests]):
            if self._stop.is_final:
                raise Interrupted(self._stop.received)
            body = mail.poll()
            if body is not None:
                is_ready = (
                    mail.tag == mailbox.READY_TAG and messages.decode_ready(body) == self.version
                )
                if is_ready and mail.source in waiting:
                    waiting.discard(mail.source)
                else:
                    dispatch.take_message(body)

            elif mail.lost:
                lost = waiting & set(dispatch.take_dead())
                waiting -= lost
                if lost:  # a node that gets a second copy ignores it
                    image = dict(rank_state.images())[self.version]
                    publication = messages.encode_publication(self.version, [], image)
                    self._requests += [
                        messages.send_publication(mail, leader, publication) for leader in waiting
                    ]

            else:
                backoff.pause()


class Relay:
    """A node leader's end of publishing.

    It forwards a publication to its children in the tree, writes it to the node's memory, and
    confirms it to the master.

    Args:
        world: the ranks; only leaders receive publications.
        rank_states: write publications to the node's memory.
    """

    def __init__(self, world: World, rank_states: RankStates) -> None:
        assert world.mail is not None
        self._world = world
        self._mail = world.mail
        self._rank_states = rank_states
        self._requests: list[Request | None] = []

    def publish(self, body: bytearray) -> None:
        """Forward a publication, write it to the node's memory and confirm it."""
        self.finish()
        version, leaders, image = messages.decode_publication(body)
        _, children = messages.place_in_tree(leaders, self._world.rank)
        self._requests = [messages.send_publication(self._mail, child, body) for child in children]
        self._rank_states.publish(version, *unpack(image))
        messages.send_ready(self._mail, version)

    def finish(self) -> None:
        """Wait until the children have received the last publication. If that takes too long, the
        master aborts the ranks.
        """
        backoff = Backoff()
        while not all([self._mail.sent(request) for request in self._requests]):
            backoff.pause()
        self._requests = []
