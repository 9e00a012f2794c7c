"""Links keep the order and the bounds of messages, block nowhere, and report the other end's
end.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from esengine.ranks.links import Link, LinkClosed
from esengine.ranks.mailbox import VALUE_TAG, Mailbox
from esengine.ranks.successors import Door, connect

Pair = tuple[Link, Link]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ends = [Link(end) for end in socket.socketpair()]
    yield ends[0], ends[1]
    for end in ends:
        end.close()


def until(call: Callable[[], Any]) -> Any:
    """The first result of a call that is not None."""
    while (result := call()) is None:
        pass
    return result


def test_messages_arrive_whole_and_in_order(pair: Pair) -> None:
    bodies = [b"", b"one", bytes(range(256)) * 20_000, b"last"]  # one is larger than any buffer
    sent = [pair[0].send(body, tag) for tag, body in enumerate(bodies)]
    assert not sent[2].Test()
    received = [until(pair[1].receive)]
    while len(received) < len(bodies):
        pair[0].flush()
        message = pair[1].receive()
        received += [] if message is None else [message]
    assert received == [(tag, bytearray(body)) for tag, body in enumerate(bodies)]
    assert all(sending.Test() for sending in sent)
    assert pair[1].receive() is None


def test_what_was_sent_before_the_end_is_received(pair: Pair) -> None:
    pair[0].send(b"answer", 7)
    pair[0].close()
    assert pair[1].receive() == (7, bytearray(b"answer"))
    with pytest.raises(LinkClosed):
        pair[1].receive()


def test_a_message_to_an_end_that_is_gone_is_dropped_and_not_waited_for(pair: Pair) -> None:
    mail = Mailbox(None)
    mail.connect(4, pair[0])
    waiting = mail.begin_send(bytes(10_000_000), 4, VALUE_TAG)
    pair[1].close()
    assert mail.sent(waiting)
    assert mail.poll() is None
    assert mail.lost == [4]
    mail.send(b"more", 4, VALUE_TAG)
    assert mail.sent(mail.begin_send(b"more", 4, VALUE_TAG))


def test_who_does_not_know_the_key_does_not_come_in() -> None:
    door = Door()
    order = {**door.way_in(), "rank": 5}
    stranger = connect({**order, "key": "guessed"})
    with pytest.raises(LinkClosed):
        until(lambda: door.arrivals() or stranger.receive())
    replacement = connect(order)
    ((rank, _),) = until(lambda: door.arrivals() or None)
    assert rank == 5
    replacement.close()


def test_a_forked_child_does_not_hold_a_link_open() -> None:
    ours, theirs = socket.socketpair()
    near = Link(ours)
    far = Link(theirs)
    mine, childs = socket.socketpair()
    child = os.fork()
    if child == 0:
        mine.close()
        childs.sendall(b"1")
        childs.recv(1)  # until the test is over
        os._exit(0)

    childs.close()
    mine.recv(1)
    near.close()
    with pytest.raises(LinkClosed):
        far.receive()
    mine.close()
    os.waitpid(child, 0)
    far.close()
