"""``esengine watch RUN``: show the progress of a run from its files."""

from __future__ import annotations

from esengine.launch.settings.flags import parse_with_argument
from esengine.launch.terminal.watch import WatchSettings, watch
from esengine.ranks import StopRequest


def command(argv: list[str], stop: StopRequest) -> int:
    """Show the run; returns its exit status. Raises UserError for a folder that holds no run."""
    run, settings = parse_with_argument(
        WatchSettings, argv, "esengine watch", "run", "The run directory."
    )
    return watch(run, settings, stop)
