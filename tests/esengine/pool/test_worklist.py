"""How many units go out at once: few of long ones, many of quick ones, single ones at the end."""

from __future__ import annotations

import numpy as np

from esengine.pool.worklist import WorkList, range_s, unfinished


def dealt(work: WorkList, unit_s: float) -> list[range]:
    """What a single idle worker gets, all of it taking as long as told."""
    found = []
    while (units := work.deal(idle=True)) is not None:
        found.append(units)
        work.learn(len(units), len(units) * unit_s)
    return found


def test_what_is_unfinished_are_ranges_without_gaps() -> None:
    assert unfinished(9, [6, 3, 4]) == [range(3), range(5, 6), range(7, 9)]
    assert unfinished(3, [0, 2]) == [range(1, 2)]
    assert unfinished(3, []) == [range(3)]
    assert unfinished(1, [0]) == []


def test_long_units_go_one_by_one() -> None:
    assert dealt(WorkList([range(100)], 1, singly=False), range_s(1)) == [
        range(unit, unit + 1) for unit in range(100)
    ]


def test_quick_units_go_in_growing_ranges_that_shrink_to_single_ones() -> None:
    found = dealt(WorkList([range(10_000)], 4, singly=False), 1e-6)
    assert [len(units) for units in found[:9]] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert [len(units) for units in found[-16:]] == [1] * 16
    assert np.concatenate(found).tolist() == list(range(10_000))


def test_a_slow_stretch_among_quick_units_is_dealt_in_small_ranges_again() -> None:
    work = WorkList([range(10_000)], 1, singly=False)
    work.deal(idle=True)
    for _ in range(20):
        work.learn(256, 256e-6)
    work.learn(1, 1.0)
    assert len(work.deal(idle=True) or ()) == 1
    for _ in range(100):
        work.learn(1, 1e-6)
    assert len(work.deal(idle=True) or ()) == 1999


def test_units_that_must_go_singly_always_do() -> None:
    assert {len(units) for units in dealt(WorkList([range(100)], 1, singly=True), 1e-9)} == {1}


def test_the_last_units_wait_for_an_idle_worker() -> None:
    work = WorkList([range(5)], 2, singly=False)
    assert work.deal(idle=False) == range(1)
    assert work.deal(idle=False) is None
    assert work.deal(idle=True) == range(1, 2)


def test_units_that_come_back_are_dealt_first_and_not_to_whom_they_are_refused() -> None:
    work = WorkList([range(3), range(7, 8)], 1, singly=False)
    first = work.deal(idle=True)
    assert first == range(1)
    work.take_back(first)
    assert len(work) == 4
    assert work.deal(True, lambda units: units.start == 0) == range(
        1, 2
    )  # the first run that is not refused
    assert work.deal(True) == range(1)
    assert work.deal(True, lambda units: True) is None
