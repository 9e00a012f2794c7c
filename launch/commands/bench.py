"""``esengine bench SUBJECT``: measure the speed of the engine on this machine."""

from __future__ import annotations

from esengine.errors import listed
from esengine.launch.bench.command import SUBJECTS, bench
from esengine.launch.bench.figures import BenchSettings
from esengine.launch.settings.flags import parse
from esengine.ranks import StopRequest


def command(argv: list[str], stop: StopRequest) -> int:
    """Measure a subject; returns the exit status. Raises UserError for an unknown one."""
    if not argv or argv[0].startswith("-"):
        print(f"usage: esengine bench SUBJECT ...\n\nSUBJECT is one of: {listed(SUBJECTS)}")
        return 0 if argv else 2
    return bench(argv[0], parse(BenchSettings, argv[1:], f"esengine bench {argv[0]}"), stop)
