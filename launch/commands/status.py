"""``esengine status [RUN | JOB]``: how far submitted runs are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from esengine.launch.settings.flags import parse
from esengine.launch.slurm.overview import show_status
from esengine.ranks.signals import StopRequest


@dataclass(frozen=True)
class StatusSettings:
    """Print how far submitted runs are: what the queue and the accounting say, and the runs' own
    records.
    """

    what: Annotated[str | None, tyro.conf.Positional] = None
    """A run directory, the folder of an array's runs, or a job; default all your jobs in the queue.
    """


def command(argv: list[str], stop: StopRequest) -> int:
    """Print the table; returns the exit status."""
    return show_status(parse(StatusSettings, argv, "esengine status").what)
