"""Rows of a benchmark, how their two sides are measured in turns, and their table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from esengine.checks import at_least
from esengine.storage.files import write_json


@dataclass(frozen=True)
class BenchSettings:
    """Measure the engine on this machine."""

    json: Path | None = None
    """Also write the rows to this file."""
    check: bool = False
    """Exit with 1 if a goal was missed."""
    repeats: int = 7
    """Measurements of each figure, in turns; the median is shown."""
    env_ids: tuple[str, ...] = ("CartPole-v1", "Pendulum-v1", "HalfCheetah-v5", "Swimmer-v5")
    """With bench rollouts: the environments."""
    env_id: str = "HalfCheetah-v5"
    """With bench scaling and bench profile: the environment."""
    generations: int = 20
    """With bench profile: the generations of the run."""

    def check_values(self) -> None:
        """Raises UserError for values that measure nothing."""
        at_least(self, 1, "repeats", "generations")


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

    @property
    def is_missed(self) -> bool:
        """Whether the ratio stays below the goal."""
        return self.goal is not None and self.ratio < self.goal


def paired(
    ours: Callable[[], object], theirs: Callable[[], object], repeats: int
) -> tuple[float, float]:
    """Median seconds of two functions, called in turns after a first call of each."""
    ours()
    theirs()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for function, seconds in zip((ours, theirs), times, strict=True):
            began = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - began)
    return statistics.median(times[0]), statistics.median(times[1])


def report(figures: Sequence[Figure], path: Path | None, check: bool) -> int:
    """Print the table and write it to ``path`` as JSON; returns the exit status.

    The status is 0, except with ``check`` if a goal was missed: then it is 1.
    """
    table = Table("what", "value", "unit", "against", "ratio", "goal", box=None, pad_edge=False)
    for figure in figures:
        ratio = f"{figure.ratio:.2f}"
        table.add_row(
            figure.name,
            f"{figure.value:,.4g}",
            figure.unit,
            figure.against,
            f"[red]{ratio}[/red]" if figure.is_missed else ratio,
            "" if figure.goal is None else f"{figure.goal:g}",
        )
    Console(highlight=False).print(table)

    if path is not None:
        write_json(path, [asdict(figure) for figure in figures])
    return int(check and any(figure.is_missed for figure in figures))
