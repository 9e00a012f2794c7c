"""``esengine job -- COMMAND``: inside a batch job, carry a run out to its end over as many starts
as it needs.
"""

from __future__ import annotations

from esengine.launch.settings.flags import parse, split_at_dashes
from esengine.launch.slurm.supervisor import JobSettings, supervise
from esengine.ranks.signals import StopRequest


def command(argv: list[str], stop: StopRequest) -> int:
    """Carry out the command after ``--``; returns the exit status. Raises UserError outside of a
    job.
    """
    own, arguments = split_at_dashes(argv)
    return supervise(parse(JobSettings, own, "esengine job"), arguments, stop)
