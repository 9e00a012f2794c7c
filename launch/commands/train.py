"""``esengine train METHOD``: begin a run."""

from __future__ import annotations

from esengine.errors import listed
from esengine.launch.settings.methods import METHODS
from esengine.launch.settings.parse_train import parse_train
from esengine.launch.training.start_and_resume import start
from esengine.ranks.signals import StopRequest


def command(argv: list[str], stop: StopRequest) -> int:
    """Begin a run; returns its exit status. Raises UserError for settings that no run can have."""
    if not argv or argv[0] in ("-h", "--help"):
        print(
            f"usage: esengine train METHOD ...\n       esengine train --strategy module:Class "
            f"...\n\n"
            f"METHOD is one of: {listed(METHODS)}\nesengine train METHOD --help tells the flags"
        )
        return 0 if argv else 2
    return start(parse_train(argv), stop)
