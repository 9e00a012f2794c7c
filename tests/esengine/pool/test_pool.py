"""The pool in one process: its rules about order, size and failure."""

from __future__ import annotations

from threading import Event

import numpy as np
import pytest
from numba.core.event import trigger_event

from esengine.algorithms import CMAES, CMAESSettings, TruncationES, TruncationESSettings
from esengine.candidates import MutatedParents
from esengine.errors import UserError, WorkerError
from esengine.noise import create_table
from esengine.pool import Pool, RankState
from esengine.pool.life_sign import LifeSign
from esengine.pool.worker import Clock
from esengine.problems import ObjectiveProblem
from esengine.ranks import World

NOISE = create_table(0, 14, 64, None)


def pool_for(function: object) -> Pool:
    return Pool(World(), RankState(NOISE, ObjectiveProblem(function, 3), None))  # type: ignore[arg-type]


def sphere(x: np.ndarray) -> float:
    return -float(np.sum(x**2))


def test_a_pool_whose_member_raised_does_no_more() -> None:
    pool = pool_for(lambda x: 1 / 0)
    strategy = CMAES(CMAESSettings(), np.zeros(3), 0)
    with pytest.raises(WorkerError, match="generation 1, member 0, seed 0 raised"):
        pool.evaluate(strategy.ask())
    with pytest.raises(RuntimeError, match="open another one"):
        pool.evaluate(strategy.ask())


def test_two_strategies_of_one_seed_may_share_a_pool() -> None:
    def search(together: bool) -> list[np.ndarray]:
        settings = TruncationESSettings(population_size=20)
        strategies = [TruncationES(settings, np.full(3, start), 0) for start in (1.0, -2.0)]
        pools = [pool_for(sphere)] * 2 if together else [pool_for(sphere), pool_for(sphere)]
        for _ in range(4):
            for strategy, pool in zip(strategies, pools, strict=True):
                candidates = strategy.ask()
                strategy.tell(candidates, pool.evaluate(candidates).fitness, pool.population())
        return [strategy.parameters() for strategy in strategies]

    for alone, shared in zip(search(together=False), search(together=True), strict=True):
        np.testing.assert_array_equal(shared, alone)


def test_more_members_than_window_starts_are_refused() -> None:
    strategy = CMAES(CMAESSettings(population_size=2000), np.zeros(3), 0)
    with pytest.raises(UserError, match="has 1024 for 2000; use a noise table of 32768 numbers"):
        pool_for(sphere).evaluate(strategy.ask())


def test_finished_chunks_are_not_evaluated_again() -> None:
    calls = 0

    def counting(x: np.ndarray) -> float:
        nonlocal calls
        calls += 1
        return sphere(x)

    candidates = CMAES(CMAESSettings(population_size=8), np.zeros(3), 0).ask()
    finished: dict[int, bytes] = {}
    first = pool_for(counting).evaluate(candidates, finished)
    again = pool_for(counting).evaluate(candidates, {unit: finished[unit] for unit in (0, 2, 5)})
    np.testing.assert_array_equal(first.fitness, again.fitness)
    assert calls == 8 + 5


def test_a_member_gets_its_time_again_after_as_many_evaluations_as_an_ordinary_one_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An elite has more evaluations, and one that hangs in the first is known after one time."""
    moves: list[float] = []
    monkeypatch.setattr(
        "esengine.pool.worker.Deadline.move", lambda _, seconds: moves.append(seconds)
    )

    def noisy(x: np.ndarray, seed: int) -> float:
        return float(seed)

    problem = ObjectiveProblem(noisy, 2, episodes_per_member=2)
    candidates = MutatedParents(
        0, 1, 6, 0.5, num_rows=3, num_unchanged=2, parents=np.zeros((3, 2)), unchanged_episodes=6
    )
    with Pool(World(), RankState(NOISE, problem, None)) as pool:
        clock = Clock(5.0, pool.rank_state, start_s=0.0)
        problem.progress = clock.progress
        assert pool.evaluate(candidates).records["episodes"].tolist() == [6, 6, 2, 2, 2, 2]
        assert moves == [5.0] * (3 + 3 + 4)
        clock.begin((0, 1))
    assert moves[-1] == 5.0


def test_a_first_evaluation_that_takes_long_is_reported_again_and_again() -> None:
    sentences: list[str] = []
    has_reported = Event()

    def report(sentence: str) -> None:
        sentences.append(sentence)
        if len(sentences) == 2:
            has_reported.set()

    sign = LifeSign(first_s=0.01)
    sign.report = report
    with sign.watching(lambda: 3, 8):
        assert has_reported.wait(60)

    assert all("3 of the first 8 members are evaluated" in sentence for sentence in sentences)


def test_a_first_evaluation_that_waits_for_kernels_says_so() -> None:
    sentences: list[str] = []
    has_reported = Event()

    def report(sentence: str) -> None:
        sentences.append(sentence)
        has_reported.set()

    sign = LifeSign(first_s=0.01)
    sign.report = report
    with sign.watching(lambda: 0, 8), trigger_event("numba:compile"):
        assert has_reported.wait(60)

    assert sentences[0].endswith("and kernels are being compiled (once for this machine)")
