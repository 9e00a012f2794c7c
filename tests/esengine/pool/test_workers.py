"""The births of replacements, without processes: who leads a node, and what is tried again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from esengine.pool.fault_rules import FaultRules
from esengine.pool.workers import Workers
from esengine.ranks import mailbox


class Mail:
    """Keeps what is sent, and gives what a test puts into it."""

    def __init__(self) -> None:
        self.lost: list[int] = []
        self.sent_tags: list[tuple[int, int]] = []
        self.source = self.tag = -1
        self.when_idle: Any = None

    def send(self, body: bytes, rank: int, tag: int) -> None:
        self.sent_tags.append((rank, tag))

    def connect(self, rank: int, link: object) -> None:
        pass

    def give_up(self, rank: int) -> None:
        self.lost.append(rank)


class Birth:
    """A birth whose time a test ends."""

    def __init__(self) -> None:
        self.link = SimpleNamespace(tag=-1)
        self.time_s = 10.0
        self.is_late = self.is_suspended = False

    def has_ended(self) -> bool:
        return False

    def kill(self, reason: str) -> None:
        assert "did not serve" in reason


class Nursery:
    """Starts births, or refuses the first of them."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.births: dict[int, Birth] = {}

    def start(self, rank: int, time_s: float) -> Birth:
        if self.refusals:
            self.refusals -= 1
            raise BlockingIOError("no more processes")
        self.births[rank] = Birth()
        return self.births[rank]

    def reap(self) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the workers' births, in its only element."""
    now = [100.0]
    monkeypatch.setattr("esengine.pool.workers.time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def workers_of(nodes: list[list[int]], refusals: int = 0) -> tuple[Workers, Mail, Nursery]:
    mail = Mail()
    nursery = Nursery(refusals)
    size = sum(map(len, nodes))
    world: Any = SimpleNamespace(
        **{"mail": mail, "nursery": nursery, "nodes": nodes, "size": size, "host": "here"},
        **{"hosts": ["here"] * size, "living": set(range(1, size)), "door": None},
        **{"tolerant": True, "num_pools": 1, "compile_s": 0.0, "table_s": 0.0},
        **{"rank_died": False, "send_state": lambda rank, address: None},
    )
    rank_state: Any = SimpleNamespace(memory=SimpleNamespace(address="/first"), images=lambda: [])
    return Workers(world, rank_state, FaultRules()), mail, nursery


def hear(workers: Workers, mail: Mail, source: int, tag: int, body: bytes = b"") -> None:
    mail.source, mail.tag = source, tag
    workers.handle(bytearray(body))


def test_a_replacement_leads_its_node_if_the_leader_died_while_it_arrived() -> None:
    workers, mail, _ = workers_of([[0, 1], [2, 3]])
    hear(workers, mail, 2, mailbox.LEADING_TAG, b"/second")
    mail.lost = [3]
    workers.take_dead()
    assert workers.arriving == {4}
    mail.lost = [2]
    workers.take_dead()
    hear(workers, mail, 4, mailbox.READY_TAG, bytes(8))
    assert (4, mailbox.LEAD_TAG) in mail.sent_tags
    hear(workers, mail, 4, mailbox.LEADING_TAG, b"/third")
    assert workers.replaced_leaders() == [4]
    assert workers.arriving == {5}


def test_a_birth_that_takes_too_long_is_given_up_and_begun_again_a_few_times(
    clock: list[float], capfd: pytest.CaptureFixture[str]
) -> None:
    workers, mail, nursery = workers_of([[0, 1]])
    mail.lost = [1]
    workers.take_dead()
    for rank in (2, 3, 4):
        assert workers.arriving == {rank}
        assert workers.can_go_on
        nursery.births[rank].is_late = True
        clock[0] += 1.0
        workers.tend()
        workers.take_dead()
    assert not workers.can_go_on
    assert "not replaced any more, since several replacements in a row" in capfd.readouterr().err


def test_a_replacement_that_has_arrived_is_given_up_only_if_it_stands_still(
    clock: list[float],
) -> None:
    workers, mail, nursery = workers_of([[0, 1]])
    mail.lost = [1]
    workers.take_dead()
    hear(workers, mail, 2, mailbox.READY_TAG, bytes(8))
    nursery.births[2].is_late = True
    clock[0] += 1.0
    workers.tend()
    assert mail.lost == []
    nursery.births[2].is_suspended = True
    clock[0] += 1.0
    workers.tend()
    assert mail.lost == [2]


def test_a_birth_that_the_system_refuses_is_tried_later(clock: list[float]) -> None:
    workers, mail, nursery = workers_of([[0, 1]], refusals=2)
    mail.lost = [1]
    workers.take_dead()
    assert workers.can_go_on
    for pause in (0.5, 0.6, 1.5, 0.6):
        assert not nursery.births
        clock[0] += pause
        workers.tend()
    assert workers.arriving == {4}
