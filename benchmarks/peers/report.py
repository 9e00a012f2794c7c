"""Measurements and the page that shows them."""

from __future__ import annotations

import itertools
import os
import platform
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers.cases import CMA_MEMORY, Case, package
from benchmarks.peers.environments import TIMEOUT_S, PeerError

OUR_SIDE = "esengine"

NOTES = {
    "Rollouts": """\
One process on one core, policies with two layers of 32 tanh units, one episode a policy. CPU seconds are those of the whole
process with all its threads, compilation left out. A step counts if it is *useful*: gymnax steps every member up to the limit
of the episode, also after its end, and those steps do not count. Balancing policies hold the pole for 500 steps, so that no
step is wasted; random ones are a first generation, whose CartPole episodes last under twenty steps. Evaluation is the packages'
own call for a population (our `Pool.evaluate`, EvoTorch's `GymNE.evaluate`, evosax's `GymnaxProblem.eval`, compiled and
without keeping the trajectories), without scaling of observations. "First 20 generations" is a whole evolution strategy from
generation 1 on, with scaling: ours is `truncation-es --recombination weighted`, theirs `SimpleES` in one compiled loop; the
two learn at different speeds, so their episodes differ in length. XLA is given one core, since it does fewer steps a CPU
second with a pool of threads.""",
    "CMA-ES": f"""\
CPU time of one generation in one process with one thread: stop test, ask, tell; the objective is left out. The values told are
random numbers. Ours includes what `Pool.evaluate` does around the objective, a Python call and a record for every member; the
other packages' sides do not include that the user calls the objective. Every process may use {CMA_MEMORY >> 30} GB of address
space.""",
    "Dispatch": """\
Wall time of handing out tasks that do nothing, with two workers that are already there. Ours are members of a population: each
is also drawn from the noise table, evaluated by a Python function that returns 0, and recorded. A unit of its work is a member
up to 32,767 of them, and four of 70,000; quick units go out many to a message. The others are given the same units.
`MPIPoolExecutor` runs under the same mpirun with the same settings as ours.""",
}


@dataclass
class Row:
    """The figures of one side of a case.

    Attributes:
        case: the work.
        side: `OUR_SIDE`, or a name in ``case.peers``.
        figures: what the program printed, one object a repeat.
        failure: why it is not measured any more, or None.
    """

    case: Case
    side: str
    figures: list[dict[str, Any]] = field(default_factory=list)
    failure: str | None = None

    @property
    def values(self) -> list[float]:
        return [figure["value"] for figure in self.figures]

    def as_json(self) -> dict[str, Any]:
        return {
            "section": self.case.section,
            "case": self.case.name,
            "unit": self.case.unit,
            "higher_is_better": self.case.higher_is_better,
            "side": self.side,
            "figures": self.figures,
            "failure": self.failure,
        }


@dataclass(frozen=True)
class Run:
    """What is told about a run besides its figures.

    Attributes:
        command: as it was given.
        date: of its start.
        repeats: measurements of each side.
        load: lowest and highest load average (1 min) of the machine, seen before each case and at
            the end.
    """

    command: str
    date: str
    repeats: int
    load: tuple[float, float]


def measure_case(case: Case, repeats: int, measure: Callable[[Any], dict[str, Any]]) -> list[Row]:
    """Measure all sides of a case in turns. A side that fails becomes a row that says why, and is
    not run again.

    Args:
        case: the work.
        repeats: measurements of each side.
        measure: runs a program and returns its object, or raises `PeerError`.
    """
    sides = {OUR_SIDE: case.ours, **case.peers}
    rows = {side: Row(case, side) for side in sides}
    for _, (side, program) in itertools.product(range(repeats), sides.items()):
        row = rows[side]
        if row.failure is None:
            try:
                row.figures.append(measure(program))
            except PeerError as error:
                row.failure = str(error)
    return list(rows.values())


def machine() -> dict[str, str]:
    """What the figures depend on, without the machine's name."""
    fields = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    models = [value.strip() for name, _, value in fields if name.strip() == "model name"]
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GB",
        "system": f"{platform.system()}, Python {platform.python_version()}",
    }


def render(rows: list[Row], run: Run, machine: dict[str, str]) -> str:
    """The page, in Markdown."""
    lines = [
        "# Beside other packages",
        "",
        f"Written by `{run.command}` on {run.date}.",
        f"Each figure is the median of {run.repeats} processes, with their range;",
        "all sides of a row were measured in turns, in one run. *Speed* is ours over theirs, "
        "above 1 where this engine is",
        "faster, whatever the unit.",
        "",
        *(f"- {name}: {value}" for name, value in machine.items()),
        f"- load average during the run: {run.load[0]:.1f} to {run.load[1]:.1f}; its own programs "
        f"make 1 to 3 of it",
        f"- versions: {', '.join(_versions(rows))}",
        f"- threads: {'; '.join(_threads(rows))}",
    ]
    for section, group in itertools.groupby(rows, lambda row: row.case.section):
        lines += ["", f"## {section}", "", NOTES.get(section, ""), ""]
        lines += ["| work | unit | package | theirs | ours | speed |", "|---|---|---|---|---|---|"]
        for _, sides in itertools.groupby(group, lambda row: row.case):
            ours, *others = sides
            lines += [_line(ours, theirs) for theirs in others]
    lines += [
        "",
        f"A program that takes more than {TIMEOUT_S:g} s is ended, and its row says so.",
        "",
    ]
    return "\n".join(lines)


def _line(ours: Row, theirs: Row) -> str:
    speed = "-"
    if ours.values and theirs.values:
        ratio = statistics.median(ours.values) / statistics.median(theirs.values)
        speed = _number(ratio if ours.case.higher_is_better else 1 / ratio)
    cells = [ours.case.name, ours.case.unit, theirs.side, _cell(theirs), _cell(ours), speed]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _cell(row: Row) -> str:
    parts = []
    if row.values:
        median, low, high = map(
            _number, (statistics.median(row.values), min(row.values), max(row.values))
        )
        parts.append(f"{median} ({low} to {high})")
        details = {figure["detail"]: None for figure in row.figures if figure.get("detail")}
        parts += list(details)[:1]
    if row.failure is not None:
        parts.append(f"not measured: {row.failure}")
    return "; ".join(parts)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _versions(rows: list[Row]) -> list[str]:
    found = {
        (name, version)
        for row in rows
        for figure in row.figures
        for name, version in figure["versions"].items()
    }
    return [f"{name} {version}" for name, version in sorted(found)]


def _threads(rows: list[Row]) -> list[str]:
    """What each package computes with, packages that say the same together."""
    said: dict[str, dict[str, None]] = {}
    for row in rows:
        for figure in row.figures:
            said.setdefault(figure["threads"], {})[package(row.side)] = None
    return [f"{', '.join(sides)}: {threads}" for threads, sides in said.items()]
