"""Rows of a benchmark and how their two sides are measured in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from esengine.checks import at_least
from esengine.errors import UserError, listed


@dataclass(frozen=True)
class BenchSettings:
    """Measure the engine on this machine."""

    json: Path | None = None
    """Also write the rows to this file."""
    repeats: int = 7
    """Alternating measurements of each figure; the median is shown."""
    env_ids: tuple[str, ...] = ("CartPole-v1", "Pendulum-v1", "HalfCheetah-v5", "Swimmer-v5")
    """Environments of bench rollouts; the others do not use it."""
    env_id: str = "HalfCheetah-v5"
    """Environment of bench scaling and bench profile; the others do not use it."""
    workers: tuple[int, ...] = (1, 3, 7, 15, 31, 63)
    """Numbers of workers that bench dispatch measures the efficiency at; the others do not use it.
    """
    generations: int = 20
    """Generations of the run that bench profile looks into; the others do not use it."""

    def check(self) -> None:
        """Raises UserError for values that measure nothing."""
        at_least(self, 1, "repeats", "generations")
        if not self.workers or min(self.workers) < 1:
            raise UserError(
                f"--workers must be numbers from 1, got {listed(self.workers) or 'none'}; use 1 3 7"
            )


@dataclass(frozen=True)
class Figure:
    """One measured row.

    Attributes:
        name: what was measured.
        value: ours, in ``unit``; higher is better.
        unit: of ``value``.
        against: what it is compared with, measured in the same run.
        ratio: ours over the other.
        goal: the bound on ``ratio`` that the project promises, or None.
    """

    name: str
    value: float
    unit: str
    against: str
    ratio: float
    goal: float | None = None


def paired(
    ours: Callable[[], object], theirs: Callable[[], object], repeats: int
) -> tuple[float, float]:
    """Median seconds of two functions, called in turns after one call each that does not count."""
    ours(), theirs()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for function, seconds in zip((ours, theirs), times, strict=True):
            began = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - began)
    return statistics.median(times[0]), statistics.median(times[1])
