"""``esengine export RUN --format FORMAT --out FILE``: write a policy for other programs."""

from __future__ import annotations

from esengine.launch.results.exporting.export import ExportSettings, export
from esengine.launch.settings.flags import parse_with_argument
from esengine.ranks import StopRequest


def command(argv: list[str], stop: StopRequest) -> int:
    """Write the file; returns the exit status. Raises UserError for an invalid policy or file
    name.
    """
    about = "A run directory or a policy file."
    policy, settings = parse_with_argument(ExportSettings, argv, "esengine export", "policy", about)
    print(export(policy, settings))
    return 0
