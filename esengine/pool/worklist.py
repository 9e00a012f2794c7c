"""The units that wait for a worker, and how many of them go out in one message.

Slow units are sent one by one, two in flight per worker. Quick units are sent as ranges of
neighbours that take some milliseconds by earlier measurements, so that a unit costs the master very
little. Towards the end, ranges shrink to single units for idle workers, since a unit that waits
behind a slow one cannot be taken back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

IN_FLIGHT = 2
"""The ranges that a worker holds, so that it does not wait for the master's answer."""

_MOST_UNITS = 2048  # of a range
_LEAST_S = 2e-3
_MESSAGE_S = 5e-6  # time of the master for one range: one result received, one task sent
_MASTER_SHARE = 0.1  # of its time that the master may spend on messages


def range_s(num_workers: int) -> float:
    """The seconds that a range of quick units should take, so that the master is mostly idle."""
    return max(_LEAST_S, num_workers * _MESSAGE_S / _MASTER_SHARE)


class Pace:
    """The number of units to do together so that they take a given time, by recent measurements.

    Args:
        aim_s: the time in seconds.
        most: the largest number of units.

    Attributes:
        size: the number of units.
    """

    def __init__(self, aim_s: float, most: int) -> None:
        self.size = 1
        self._aim_s = aim_s
        self._most = most
        self._unit_s = 0.0

    def learn(self, num_units: int, seconds: float) -> None:
        """Update the size by the time that some units took together."""
        unit_s = seconds / num_units
        self._unit_s += (unit_s - self._unit_s) / 4 if self._unit_s else unit_s
        wanted = int(self._aim_s / max(self._unit_s, 1e-9))
        self.size = max(1, min(2 * self.size, self._most, wanted))


class WorkList:
    """The units that are still to be assigned, in order.

    Args:
        runs: ranges of neighbouring units, ascending.
        num_workers: workers that share the units.
        singly: whether units are always assigned one by one.
    """

    def __init__(self, runs: Iterable[range], num_workers: int, singly: bool) -> None:
        self._runs = deque(runs)
        self._left = sum(map(len, self._runs))
        self._last = IN_FLIGHT * max(1, num_workers)
        self._pace = None if singly else Pace(range_s(num_workers), _MOST_UNITS)

    def __len__(self) -> int:
        return self._left

    def deal(self, idle: bool, refused: Callable[[range], bool] | None = None) -> range | None:
        """Neighbouring units for a worker, or None if there are none for it now.

        Args:
            idle: whether the worker has nothing to do.
            refused: whether the worker must not get these units.
        """
        if not self._left or (self._left <= self._last and not idle):
            return None

        runs = self._runs
        index = 0
        if refused is not None:
            index = next((place for place, units in enumerate(runs) if not refused(units)), -1)
            if index < 0:
                return None

        most = 1
        if self._pace is not None:
            most = min(self._pace.size, max(1, self._left // (2 * self._last)))
        units = runs[index][:most]
        rest = runs[index][most:]
        if rest:
            runs[index] = rest
        else:
            del runs[index]
        self._left -= len(units)
        return units

    def take_back(self, units: range) -> None:
        """Put units that were assigned back, to be assigned again before all others."""
        if units:
            self._runs.appendleft(units)
            self._left += len(units)

    def learn(self, num_units: int, seconds: float) -> None:
        """Update the length of ranges by the time that some units took together."""
        if self._pace is not None and num_units:
            self._pace.learn(num_units, seconds)


def unfinished(num_units: int, finished: Iterable[int]) -> list[range]:
    """The units below ``num_units`` that are not ``finished``, as ranges without gaps."""
    found = []
    start = 0
    for unit in (*sorted(finished), num_units):
        if unit > start:
            found.append(range(start, unit))
        start = unit + 1
    return found
