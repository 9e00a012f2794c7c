"""Units on their way to workers that die, raise and dawdle: all are done once, and only those at
fault are given up.

The workers are real ones in this process; what stands between them and the master is a list of
messages.
"""

from __future__ import annotations

import math
import random
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from esengine.pool import FaultRules, task_runner
from esengine.pool.dispatch import Dispatch
from esengine.pool.rank_state import Kind
from esengine.pool.rank_states import RankStates
from esengine.pool.work import Failures, Work
from esengine.pool.worker import Worker
from esengine.problems import failed_records
from esengine.problems.failures import Failure, MembersFailed
from esengine.ranks import StopRequest, mailbox
from esengine.ranks.messages import Task

NUM_UNITS = 3000
BOUNDS = [(unit, unit + 1) for unit in range(NUM_UNITS)]


class Death(BaseException):
    """Ends a worker in the middle of a unit."""


class RankState:
    """Members of a microsecond, but for those that kill their worker, raise, or take two
    seconds.
    """

    def __init__(
        self, deadly: set[int], raising: set[int], slow: set[int], can_group: bool
    ) -> None:
        self.deadly, self.raising, self.slow = deadly, raising, slow
        self.can_group = can_group
        self.specs = ()
        self.now = 0.0
        self.calls: list[int] = []

    def load(self, version: int) -> None:
        pass

    def unit_bounds(self, task: Task) -> list[tuple[int, int]]:
        return BOUNDS[task.start : task.stop]

    def execute(self, kind: int, start: int, stop: int) -> bytes:
        self.calls.append(start)
        self.now += 2.0 if start in self.slow else 1e-6
        if start in self.deadly:
            raise Death
        if start in self.raising:
            raise MembersFailed(
                failed_records(start, stop), {}, [{"member": start, "error": "diverged"}]
            )
        return b"%d" % start

    def evaluate_units(self, bounds: list[tuple[int, int]]) -> list[bytes]:
        return [self.execute(Kind.EVALUATE, *bound) for bound in bounds]

    def address_of_evaluation(self, version: int) -> Failure:
        return {"generation": 1}


class Workers:
    """The master's view of the workers and its mailbox at once; a worker that died is replaced by
    another number.
    """

    can_go_on = True

    def __init__(
        self, rank_state: RankState, dice: random.Random, num_workers: int = 3, kills: float = 0.0
    ) -> None:
        self.rank_state, self.dice, self.kills = rank_state, dice, kills
        self.mail, self.lost = self, list[int]()
        self.source, self.tag, self.num_deaths = -1, -1, 0
        self.ranks: list[int] = []
        self._ends: dict[int, Worker] = {}
        self._tasks: dict[int, deque[bytes]] = {}
        self._answers: dict[int, deque[tuple[bytes, int]]] = {}
        for _ in range(num_workers):
            self._hire()

    def send(self, body: bytes, worker: int, tag: int) -> None:
        assert tag == mailbox.TASK_TAG
        self._tasks[worker].append(body)

    def poll(self) -> bytearray | None:
        for worker in [
            worker for worker in self.ranks if worker not in self.lost and self._tasks[worker]
        ]:
            if self.dice.random() < 0.5:
                self._work(worker)
        answering = [worker for worker in self._answers if self._answers[worker]]
        if not answering:
            return None
        self.source = self.dice.choice(answering)
        body, self.tag = self._answers[self.source].popleft()
        return bytearray(body)

    def take_dead(self) -> list[int]:
        lost, self.lost = self.lost, []
        for worker in lost:
            self.ranks.remove(worker)
            self._hire()
        return lost

    def host_of(self, rank: int) -> str:
        return "here"

    def handle(self, body: bytearray) -> None:
        """Of a worker that has died since."""

    def _hire(self) -> None:
        worker = 1 + len(self._ends)
        answers = self._answers[worker] = deque()
        mail = SimpleNamespace(send=lambda body, rank, tag: answers.append((body, tag)))
        world: Any = SimpleNamespace(mail=mail, num_workers=3, host="here", tolerant=True)
        rank_state: Any = self.rank_state
        self._ends[worker] = Worker(world, RankStates([rank_state]), StopRequest(), FaultRules())
        self._tasks[worker] = deque()
        self.ranks.append(worker)

    def _work(self, worker: int) -> None:
        try:
            if self.dice.random() < self.kills:
                raise Death
            self._ends[worker]._handle(mailbox.TASK_TAG, bytearray(self._tasks[worker].popleft()))
        except Death:
            self.lost.append(worker)
            self.num_deaths += 1


def run(
    monkeypatch: pytest.MonkeyPatch,
    rank_state: RankState,
    seed: int,
    finished: dict[int, bytes] | None = None,
    kills: float = 0.0,
) -> tuple[dict[int, bytes], list[Failure], Workers]:
    """All results, the members that were given up, and the workers."""
    monkeypatch.setattr(task_runner, "time", SimpleNamespace(perf_counter=lambda: rank_state.now))
    workers: Any = Workers(rank_state, random.Random(seed), kills=kills)
    known: Any = rank_state
    rules, finished = FaultRules(), {} if finished is None else finished
    failures = Failures(math.inf, rules, lambda failures: None)
    dispatch = Dispatch(workers, StopRequest(), rules)
    work = Work(known, 1, Kind.EVALUATE, BOUNDS, finished, failures)
    dispatch.submit(work)
    dispatch.finish(work)
    return finished, failures.records, workers


def all_but(units: set[int]) -> dict[int, bytes]:
    return {unit: b"%d" % unit for unit in range(NUM_UNITS) if unit not in units}


@pytest.mark.parametrize("can_group", [True, False])
def test_a_member_that_kills_its_worker_in_a_range_is_the_only_one_given_up(
    monkeypatch: pytest.MonkeyPatch, can_group: bool
) -> None:
    deadly = {700, 701, 1900}
    found, failures, workers = run(monkeypatch, RankState(deadly, set(), set(), can_group), 1)
    assert {unit: found[unit] for unit in found if unit not in deadly} == all_but(deadly)
    assert sorted(failure["member"] for failure in failures) == sorted(deadly)
    assert workers.num_deaths <= 4 * len(
        deadly
    )  # one that tells nothing of a range, and three of the member alone
    assert all("3 workers died while they evaluated it" in failure["error"] for failure in failures)


def test_members_that_raise_in_a_range_are_tried_again_elsewhere_and_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raising = {0, 900, 901, 2999}
    rank_state = RankState(set(), raising, set(), can_group=False)
    found, failures, _ = run(monkeypatch, rank_state, 2)
    assert {unit: found[unit] for unit in found if unit not in raising} == all_but(raising)
    assert sorted(failure["member"] for failure in failures) == sorted(raising)
    assert len(rank_state.calls) == NUM_UNITS + len(raising)  # nobody else was done twice
    assert all(failure["host"] == "here" for failure in failures)


def test_workers_that_are_killed_anywhere_cost_nothing_but_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deaths = 0
    for seed in range(20):
        found, failures, workers = run(
            monkeypatch, RankState(set(), {1234}, set(), True), seed, kills=0.01
        )
        assert {unit: found[unit] for unit in found if unit != 1234} == all_but({1234})
        assert [failure["member"] for failure in failures] == [1234]
        deaths += workers.num_deaths
    assert deaths > 10


def test_what_comes_after_a_slow_member_is_handed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = set(range(1500, 1520))
    rank_state = RankState(set(), set(), slow, can_group=False)
    spans: dict[int, list[float]] = {}
    handle = Worker._handle

    def timed(worker: Worker, tag: int, body: bytearray) -> None:
        began = rank_state.now
        handle(worker, tag, body)
        spans.setdefault(id(worker), []).append(rank_state.now - began)

    monkeypatch.setattr(Worker, "_handle", timed)
    assert run(monkeypatch, rank_state, 3)[0] == all_but(set())
    assert max(max(times) for times in spans.values()) < 2.1  # never two slow ones for one message


def test_finished_units_are_not_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    done = {unit: b"%d" % unit for unit in range(NUM_UNITS) if unit % 7 < 3}
    rank_state = RankState(set(), set(), set(), True)
    found, _, _ = run(monkeypatch, rank_state, 4, dict(done))
    assert found == all_but(set())
    assert sorted(rank_state.calls) == sorted(set(range(NUM_UNITS)) - set(done))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit(), OSError("no more memory")])
def test_whatever_a_worker_raises_outside_of_members_reaches_the_master(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def handle(worker: Worker, tag: int, body: bytearray) -> None:
        raise error

    monkeypatch.setattr(Worker, "_handle", handle)
    received = deque([mailbox.TASK_TAG, mailbox.STOP_TAG])
    sent: list[tuple[bytes, int]] = []

    def poll() -> bytearray:
        mail.tag = received.popleft()
        return bytearray(1)

    mail = SimpleNamespace(
        send=lambda body, rank, tag: sent.append((body, tag)),
        begin_send=lambda body, rank, tag: sent.append((body, tag)),
        sent=lambda request: True,
        poll=poll,
    )
    world: Any = SimpleNamespace(
        mail=mail,
        num_workers=2,
        host="here",
        rank_died=False,
        node_rank=1,
        is_replacement=False,
        mark_serving=lambda respawn: None,
    )
    rank_state: Any = SimpleNamespace(memory=mail, problem=None)
    Worker(world, RankStates([rank_state]), StopRequest(), FaultRules()).serve()
    (body, tag), (_, last) = sent
    assert (tag, last) == (mailbox.ERROR_TAG, mailbox.STOP_TAG)
    assert repr(error).partition("(")[0].encode() in body
