"""The units of one piece of work that wait for a worker, and how many of them go out in one
message.

Units that take long go one by one, two in flight a worker. Of quick ones, neighbours go together as
a range, as many as take some milliseconds by what was measured, so that a unit costs the master
next to nothing. Towards the end ranges shrink to single units, which are dealt to workers that have
nothing to do: what waits behind something long cannot be taken back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

IN_FLIGHT = 2
"""Ranges that a worker holds, so that it never waits for the master's answer."""

_MOST = 2048  # units of a range
_LEAST_S = 2e-3
_MESSAGE_S = 5e-6  # of the master for a range: one result received, one task sent
_MASTER_SHARE = 0.1  # of the time that the master may spend on that


def range_s(num_workers: int) -> float:
    """Seconds that a range of quick units should take: long enough that the master is idle most of
    the time.
    """
    return max(_LEAST_S, num_workers * _MESSAGE_S / _MASTER_SHARE)


class Pace:
    """How many units are worth doing together: as many as take a given time, by what was measured
    lately.

    Args:
        aim_s: seconds that so many units should take.
        most: units.
    """

    def __init__(self, aim_s: float, most: int) -> None:
        self.size, self._aim_s, self._most, self._unit_s = 1, aim_s, most, 0.0

    def learn(self, num_units: int, seconds: float) -> None:
        """Some units took so long, all together."""
        unit_s = seconds / num_units
        self._unit_s += (unit_s - self._unit_s) / 4 if self._unit_s else unit_s
        self.size = max(
            1, min(2 * self.size, self._most, int(self._aim_s / max(self._unit_s, 1e-9)))
        )


class WorkList:
    """Units that are still to be dealt, in order.

    Args:
        runs: of neighbouring units, ascending.
        num_workers: that share it.
        singly: never more than one unit at a time.
    """

    def __init__(self, runs: Iterable[range], num_workers: int, singly: bool) -> None:
        self._runs = deque(runs)
        self._left = sum(map(len, self._runs))
        self._last = IN_FLIGHT * max(1, num_workers)
        self._pace = None if singly else Pace(range_s(num_workers), _MOST)

    def __len__(self) -> int:
        return self._left

    def deal(self, idle: bool, refused: Callable[[range], bool] | None = None) -> range | None:
        """Neighbouring units for a worker, or None if there is nothing for it now.

        Args:
            idle: whether it has nothing to do.
            refused: says which units it must not get.
        """
        if not self._left or (self._left <= self._last and not idle):
            return None
        runs, index = self._runs, 0
        if refused is not None:
            index = next((place for place, units in enumerate(runs) if not refused(units)), -1)
            if index < 0:
                return None
        most = (
            1
            if self._pace is None
            else min(self._pace.size, max(1, self._left // (2 * self._last)))
        )
        units, rest = runs[index][:most], runs[index][most:]
        if rest:
            runs[index] = rest
        else:
            del runs[index]
        self._left -= len(units)
        return units

    def take_back(self, units: range) -> None:
        """Units that were dealt are to be dealt again, first of all."""
        if units:
            self._runs.appendleft(units)
            self._left += len(units)

    def learn(self, num_units: int, seconds: float) -> None:
        """Some units took so long, all together."""
        if self._pace is not None and num_units:
            self._pace.learn(num_units, seconds)


def unfinished(num_units: int, finished: Iterable[int]) -> list[range]:
    """The units below ``num_units`` that are not ``finished``, as ranges without gaps."""
    found, start = [], 0
    for unit in (*sorted(finished), num_units):
        if unit > start:
            found.append(range(start, unit))
        start = unit + 1
    return found
