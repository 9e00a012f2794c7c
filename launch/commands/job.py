"""``esengine job -- COMMAND``: inside a batch job, run train or resume over several starts."""

from __future__ import annotations

from esengine.launch.settings.flags import parse, split_at_dashes
from esengine.launch.slurm.supervisor import JobSettings, supervise
from esengine.ranks import StopRequest


def command(argv: list[str], stop: StopRequest) -> int:
    """Run the command after ``--``; returns the exit status. Raises UserError outside of a job."""
    own, arguments = split_at_dashes(argv)
    return supervise(parse(JobSettings, own, "esengine job"), arguments, stop)
