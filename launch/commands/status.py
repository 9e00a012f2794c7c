"""``esengine status [RUN | JOB]``: print the progress of submitted runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from esengine.launch.settings.flags import parse
from esengine.launch.slurm.overview import show_status
from esengine.ranks import StopRequest


@dataclass(frozen=True)
class StatusSettings:
    """Print the progress of submitted runs from the queue, the accounting and the runs' records."""

    what: Annotated[str | None, tyro.conf.Positional] = None
    """A run directory, the folder of an array, or a job; default all your queued jobs."""


def command(argv: list[str], stop: StopRequest) -> int:
    """Print the table; returns the exit status."""
    return show_status(parse(StatusSettings, argv, "esengine status").what)
