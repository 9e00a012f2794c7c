"""``esengine plot RUN ... --out FILE``: plot runs and benchmarks."""

from __future__ import annotations

from pathlib import Path

from esengine.launch.results.plotting.command import PlotSettings, plot
from esengine.launch.settings.flags import parse_with_argument
from esengine.ranks import StopRequest


def command(argv: list[str], stop: StopRequest) -> int:
    """Write the picture; returns the exit status. Raises UserError for paths that hold nothing to
    plot.
    """
    about = "Run directories, folders of them, or files of bench --json."
    paths, settings = parse_with_argument(
        PlotSettings, argv, "esengine plot", "runs", about, of=tuple[Path, ...]
    )
    plot(paths, settings)
    return 0
