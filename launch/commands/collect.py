"""``esengine collect``: record demonstrations."""

from __future__ import annotations

from esengine.launch.demonstrations.collecting import CollectSettings, collect_command
from esengine.launch.settings.flags import parse
from esengine.ranks import StopRequest


def command(argv: list[str], stop: StopRequest) -> int:
    """Collect; returns the exit status. Raises UserError for settings that collect nothing."""
    return collect_command(parse(CollectSettings, argv, "esengine collect"), argv, stop)
