"""``esengine replay RUN``: evaluate one member again, with the same result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from esengine.launch.settings.flags import parse
from esengine.launch.training.replay import replay
from esengine.ranks import StopRequest


@dataclass(frozen=True)
class ReplaySettings:
    """Evaluate a member of a run again, in this process. failures.jsonl lists those that failed."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run directory."""
    generation: int
    """The member's generation, counted from 1."""
    member: int
    """The member's number, counted from 0."""
    trust_modules: bool = False
    """Import the modules to which the run's files refer, which runs their code."""


def command(argv: list[str], stop: StopRequest) -> int:
    """Replay the member; returns 0, or 1 if it failed again. Raises UserError for a member that
    cannot be built.
    """
    parsed = parse(ReplaySettings, argv, "esengine replay")
    return replay(parsed.run, parsed.generation, parsed.member, parsed.trust_modules, stop)
