"""``esengine resume RUN``: resume a run."""

from __future__ import annotations

from esengine.launch.settings.parse_train import parse_resume, resume_changes
from esengine.launch.training.start_and_resume import resume
from esengine.ranks import StopRequest


def command(argv: list[str], stop: StopRequest) -> int:
    """Resume the run; returns its exit status. Raises UserError for a folder that holds no run."""
    parsed = parse_resume(argv)
    return resume(parsed.run, resume_changes(parsed), parsed.quiet, parsed.trust_modules, stop)
