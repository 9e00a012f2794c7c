"""``esengine cancel JOB``: end a job, which keeps a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from esengine.launch.settings.flags import parse
from esengine.launch.slurm.overview import cancel_job
from esengine.ranks import StopRequest


@dataclass(frozen=True)
class CancelSettings:
    """End a job, an array or one of its tasks. Its runs keep a checkpoint and are not requeued."""

    job: Annotated[str, tyro.conf.Positional]
    """A job such as 123 or 123_4, or a run directory."""


def command(argv: list[str], stop: StopRequest) -> int:
    """End the job; returns the exit status. Raises UserError if there is none."""
    return cancel_job(parse(CancelSettings, argv, "esengine cancel").job)
