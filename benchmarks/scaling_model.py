"""A generation on machines that are not here: a discrete-event simulation of 1 to 100,000 ranks.

What it simulates is what `esengine.pool` does: the population is published along a tree of node
leaders, units go to whoever is free, two in flight a worker and one at a time at the end, and the
update is divided over the ranks. Its costs are those that ``python -m benchmarks.dispatch --json``
measured. ``--check`` holds it against real ranks with members that sleep.

    python -m benchmarks.scaling_model --costs dispatch.json --png benchmarks/scaling.png
    python -m benchmarks.scaling_model --costs dispatch.json --check
"""

from __future__ import annotations

import json
import statistics
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import dispatch
from benchmarks.ranks import Lengths, Request, draw_lengths
from benchmarks.simulation import (
    Costs,
    Faults,
    evaluate,
    list_scheduling,
    publication_s,
    unit_lengths,
    update_s,
)
from esengine.errors import UserError
from esengine.launch.settings.flags import parse_process

LENGTHS: tuple[Lengths, ...] = ("constant", "uniform", "exponential")


@dataclass(frozen=True)
class ModelSettings:
    """Simulate generations on 1 to 100,000 ranks, or hold the simulation against real ranks."""

    costs: Path
    """What python -m benchmarks.dispatch --json wrote on this machine."""
    check: bool = False
    """Hold the simulation against real ranks with sleeping members, up to 64 of them; exits with 1
    if one is 10 % off.
    """
    ranks: tuple[int, ...] = (2, 16, 64, 256, 1440, 4096, 10_000, 30_000, 100_000)
    """Numbers of ranks, the master included."""
    population_size: int = 10_000
    """Members of a generation at --at-ranks and below; in proportion to the ranks above."""
    at_ranks: int = 1440
    """Ranks that --population-size is meant for."""
    mean_s: float = 0.1
    """Mean length of a member."""
    ranks_per_node: int = 48
    """Ranks that share a node."""
    dimension: int = 100_000
    """Number of parameters; the publication is as large, and the update sums as many coordinates.
    """
    latency_s: float = 2e-5
    """Seconds of a message between nodes; 2e-5 is TCP, 2e-6 a fast fabric."""
    bytes_per_s: float = 1e9
    """Bytes a second of a link."""
    products_per_s: float = 1e10
    """Multiply-adds a second of one rank in the update's sum, see bench kernels."""
    failures_per_hour: float = 0.0
    """Failures of one busy worker an hour."""
    stragglers: float = 0.0
    """Fraction of workers that take twice as long."""
    draws: int = 5
    """Populations that each row adds up, since the longest of many exponential members differs much
    from draw to draw.
    """
    png: Path | None = None
    """Draw the efficiencies into this file."""

    def check_values(self) -> None:
        """Raises UserError for values that no machine has."""
        if not self.ranks or min(self.ranks) < 1:
            raise UserError(f"--ranks must be numbers from 1, got {self.ranks}; use 2 64 1440")
        if (
            min(
                self.population_size, self.at_ranks, self.ranks_per_node, self.dimension, self.draws
            )
            < 1
        ):
            raise UserError(
                "--population-size, --at-ranks, --ranks-per-node, --dimension and --draws must be "
                "at least 1"
            )
        if min(self.mean_s, self.bytes_per_s, self.products_per_s) <= 0 or self.latency_s < 0:
            raise UserError(
                "--mean-s, --bytes-per-s and --products-per-s must be positive, and --latency-s "
                "not negative"
            )
        if not 0 <= self.stragglers <= 1 or self.failures_per_hour < 0:
            raise UserError(
                "--stragglers must lie between 0 and 1, and --failures-per-hour must not be "
                "negative"
            )

    def read_costs(self) -> Costs:
        try:
            rows = json.loads(self.costs.read_text())
        except (OSError, ValueError) as error:
            raise UserError(
                f"--costs must be what python -m benchmarks.dispatch --json wrote, got {self.costs}: "
                f"{error}"
            ) from error
        return Costs.measured(rows, self.latency_s, self.bytes_per_s, self.products_per_s)


@dataclass(frozen=True)
class Point:
    """The mean of a few generations on a number of ranks.

    Attributes:
        num_ranks: the master included.
        population_size: members.
        lengths: how their lengths are distributed.
        ideal_s: makespan of list scheduling of the members with no overhead.
        publish_s, evaluate_s, update_s: simulated seconds.
        master_share: share of the evaluation that the master works.
        units_share: `ideal_s` over list scheduling of the engine's units: what is lost because
            members share a unit.
    """

    num_ranks: int
    population_size: int
    lengths: Lengths
    ideal_s: float
    publish_s: float
    evaluate_s: float
    update_s: float
    master_share: float
    units_share: float

    @property
    def efficiency(self) -> float:
        """What list scheduling would take, over what publishing and evaluating take."""
        return self.ideal_s / (self.publish_s + self.evaluate_s)

    @property
    def bottleneck(self) -> str:
        """The part that loses most."""
        units_s = self.ideal_s / self.units_share
        losses = {
            "publication": self.publish_s,
            "members that share a unit": units_s - self.ideal_s,
            "the master's messages"
            if self.master_share > 0.2
            else "the last units": self.evaluate_s - units_s,
            "the update": self.update_s,
        }
        return max(losses, key=lambda name: losses[name])


def simulate(settings: ModelSettings, costs: Costs, num_ranks: int, kind: Lengths) -> Point:
    """A few generations on ``num_ranks`` ranks."""
    population_size = max(
        1, settings.population_size * max(num_ranks, settings.at_ranks) // settings.at_ranks
    )
    workers = max(1, num_ranks - 1)
    ideal_s = units_s = wall_s = master_s = 0.0
    for seed in range(settings.draws):
        lengths = draw_lengths(kind, settings.mean_s, population_size, seed)
        faults = Faults(settings.failures_per_hour, stragglers=settings.stragglers, seed=seed)
        evaluated = evaluate(lengths, num_ranks, costs, faults)
        ideal_s += list_scheduling(lengths, workers) / settings.draws
        units_s += list_scheduling(unit_lengths(lengths), workers) / settings.draws
        wall_s += evaluated.wall_s / settings.draws
        master_s += evaluated.master_busy_s / settings.draws
    nodes = -(-num_ranks // settings.ranks_per_node)
    return Point(
        num_ranks,
        population_size,
        kind,
        ideal_s,
        publication_s(nodes, 4.0 * settings.dimension, costs),
        wall_s,
        update_s(population_size, settings.dimension, num_ranks, costs),
        master_s / wall_s,
        ideal_s / units_s,
    )


def check(costs: Costs, rows: list[dict[str, Any]]) -> bool:
    """Print simulated against measured seconds of generations with sleeping members; whether all
    agree within 10 %.
    """
    from benchmarks.ranks import measured_by_ranks
    from esengine.ranks import StopRequest

    sleep_s = {row["name"]: row["value"] for row in rows}[dispatch.SLEEP_COST]
    here = replace(costs, worker_s=sleep_s, latency_s=0.0)
    table = Table(
        "ranks",
        "members",
        "lengths",
        "measured s",
        "simulated s",
        "ratio",
        box=None,
        pad_edge=False,
    )
    agree, stop = True, StopRequest().install()
    for workers in (1, 3, 7, 15, 31, 63):
        for kind in LENGTHS:
            request = Request(16 * workers, 3, 0.05, kind)
            measured = statistics.median(measured_by_ranks(workers, request, stop).wall_s)
            lengths = draw_lengths(kind, request.mean_s, request.population_size)
            simulated = here.publish_s + evaluate(lengths, workers + 1, here).wall_s
            ratio = simulated / measured
            agree &= abs(ratio - 1) <= 0.1
            table.add_row(
                f"{workers + 1}",
                f"{len(lengths)}",
                kind,
                f"{measured:.3f}",
                f"{simulated:.3f}",
                f"{ratio:.3f}",
            )
    Console(highlight=False).print(table)
    return agree


def draw(points: list[Point], path: Path) -> None:
    """Efficiency over ranks, a line a distribution."""
    from matplotlib.figure import Figure

    figure = Figure((8, 4.5), layout="constrained")
    axes = figure.subplots()
    for kind in LENGTHS:
        line = [point for point in points if point.lengths == kind]
        axes.plot(
            [p.num_ranks for p in line],
            [p.efficiency for p in line],
            marker="o",
            markersize=3,
            label=kind,
        )
    axes.axhline(0.97, color="grey", linewidth=0.8, linestyle="--")
    axes.set(
        xscale="log", xlabel="ranks", ylabel="of list scheduling with no overhead", ylim=(0, 1.03)
    )
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def show(points: list[Point]) -> None:
    """The table of all points."""
    titles = (
        "ranks",
        "members",
        "lengths",
        "ideal s",
        "publish s",
        "evaluate s",
        "update s",
        "master",
        "of ideal",
        "next",
    )
    table = Table(*titles, box=None, pad_edge=False)
    for p in points:
        seconds = (f"{value:.4f}" for value in (p.ideal_s, p.publish_s, p.evaluate_s, p.update_s))
        shares = (f"{value:.1%}" for value in (p.master_share, p.efficiency))
        table.add_row(
            f"{p.num_ranks:,}", f"{p.population_size:,}", p.lengths, *seconds, *shares, p.bottleneck
        )
    Console(highlight=False, width=140).print(table)


def main() -> int:
    """Simulate, or check; returns the exit status."""
    settings = parse_process(ModelSettings)
    try:
        settings.check_values()
        costs = settings.read_costs()
        if settings.check:
            return 0 if check(costs, json.loads(settings.costs.read_text())) else 1
        points = [
            simulate(settings, costs, num_ranks, kind)
            for num_ranks in settings.ranks
            for kind in LENGTHS
        ]
    except UserError as error:
        print(f"scaling_model: {error}", file=sys.stderr)
        return 2
    show(points)
    if settings.png is not None:
        draw(points, settings.png)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
