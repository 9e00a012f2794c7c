"""``esengine train METHOD``: start a run."""

from __future__ import annotations

from esengine.errors import listed
from esengine.launch.settings.methods import METHODS
from esengine.launch.settings.parse_train import parse_train
from esengine.launch.training.start_and_resume import start
from esengine.ranks import StopRequest


def command(argv: list[str], stop: StopRequest) -> int:
    """Start a run; returns its exit status. Raises UserError for invalid settings."""
    if not argv or argv[0] in ("-h", "--help"):
        print(
            f"usage: esengine train METHOD ...\n"
            f"       esengine train --strategy module:Class ...\n\n"
            f"METHOD is one of: {listed(METHODS)}\n"
            f"esengine train METHOD --help lists the flags. train METHOD --config FILE reads flags "
            f"from a TOML file."
        )
        return 0 if argv else 2
    return start(parse_train(argv), stop)
