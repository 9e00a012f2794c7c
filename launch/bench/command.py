"""The command: measures a subject, prints its table, writes its JSON.

All figures of a row are measured in one run, alternating; a ratio is ours over the other, higher is
better.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from esengine.environments.spec import EnvironmentSpec
from esengine.errors import UserError, listed
from esengine.launch.bench.dispatch import bench_dispatch
from esengine.launch.bench.figures import BenchSettings, Figure
from esengine.launch.bench.kernels import bench_kernels
from esengine.launch.bench.profile import bench_profile
from esengine.launch.bench.rollouts import bench_rollouts
from esengine.launch.bench.scaling import bench_scaling
from esengine.ranks.signals import StopRequest

SUBJECTS: dict[str, Callable[[BenchSettings, StopRequest], list[Figure]]] = {
    "kernels": lambda settings, stop: bench_kernels(settings),
    "rollouts": lambda settings, stop: bench_rollouts(settings),
    "dispatch": bench_dispatch,
    "scaling": bench_scaling,
    "profile": bench_profile,
}


def bench(subject: str, settings: BenchSettings, stop: StopRequest) -> int:
    """Measure a subject, print its table and return 0, or 1 if a promised bound was missed.

    Raises:
        UserError: there is no such subject, or it cannot be measured here.
        WorkerError: the ranks that a subject started failed.
        Interrupted: a signal ended them.
    """
    if subject not in SUBJECTS:
        raise UserError(
            f"bench must be one of {listed(SUBJECTS)}, got {subject!r}; see esengine bench --help"
        )
    settings.check()
    if subject in ("scaling", "profile"):
        EnvironmentSpec(settings.env_id).make().close()  # says what is wrong before any rank starts
    with threadpool_limits(1):  # one core's figures, for the plain code as well
        figures = SUBJECTS[subject](settings, stop)
    table = Table("what", "value", "unit", "against", "ratio", "goal", box=None, pad_edge=False)
    for figure in figures:
        missed = figure.goal is not None and figure.ratio < figure.goal
        ratio = f"[red]{figure.ratio:.2f}[/red]" if missed else f"{figure.ratio:.2f}"
        goal = "" if figure.goal is None else f"{figure.goal:g}"
        table.add_row(figure.name, f"{figure.value:,.4g}", figure.unit, figure.against, ratio, goal)
    Console(highlight=False, width=None).print(table)
    if settings.json is not None:
        settings.json.write_text(
            json.dumps([asdict(figure) for figure in figures], indent=1) + "\n"
        )
    return (
        1
        if any(figure.goal is not None and figure.ratio < figure.goal for figure in figures)
        else 0
    )
