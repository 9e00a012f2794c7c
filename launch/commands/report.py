"""``esengine report RUN --out FILE``: write one page of HTML about a run."""

from __future__ import annotations

from esengine.launch.results.reporting.report import ReportSettings, report
from esengine.launch.settings.flags import parse_with_argument
from esengine.ranks import StopRequest


def command(argv: list[str], stop: StopRequest) -> int:
    """Write the page; returns the exit status. Raises UserError for a folder that holds no run."""
    run, settings = parse_with_argument(
        ReportSettings, argv, "esengine report", "run", "The run directory."
    )
    report(run, settings)
    print(settings.out)
    return 0
