"""``esengine resume RUN``: go on with a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from esengine.launch.commands.parsing import parse
from esengine.launch.start import resume
from esengine.ranks.signals import StopRequest


@dataclass(frozen=True)
class ResumeSettings:
    """Go on with a run that was stopped or killed; the result is that of a run that never stopped."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run directory."""
    generations: int | None = None
    """Change the number of generations."""
    max_env_steps: int | None = None
    """Change the budget of environment steps."""
    max_evaluations: int | None = None
    """Change the budget of episodes or function values."""
    max_time: float | None = None
    """Change the budget of seconds, which counts earlier starts."""
    target_return: float | None = None
    """Change the target."""
    ranks: int | None = None
    """Workers to start on this machine; the result does not depend on it."""
    trust_modules: bool = False
    """Import the module that the run's files name."""
    quiet: bool = False
    """Print nothing but errors."""


def command(argv: list[str], stop: StopRequest) -> int:
    """Go on with the run; returns its exit status. Raises UserError for a folder that is no run."""
    parsed = parse_resume(argv)
    return resume(parsed.run, resume_changes(parsed), parsed.quiet, parsed.trust_modules, stop)


def parse_resume(argv: list[str]) -> ResumeSettings:
    """The flags after ``esengine resume``."""
    return parse(ResumeSettings, argv, "esengine resume")


def resume_changes(parsed: ResumeSettings) -> dict[str, object]:
    """The run's settings that are to change."""
    names = ("generations", "max_env_steps", "max_evaluations", "max_time", "target_return", "ranks")
    return {name: getattr(parsed, name) for name in names if getattr(parsed, name) is not None}
