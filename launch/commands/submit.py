"""``esengine submit [resources] -- COMMAND``: hand a run to Slurm."""

from __future__ import annotations

from esengine.errors import UserError, listed
from esengine.launch.settings.flags import flags_of, parse, split_at_dashes
from esengine.launch.slurm.settings import SBATCH_OPTIONS, SubmitSettings
from esengine.launch.slurm.submission import submit
from esengine.ranks.signals import StopRequest


def command(argv: list[str], stop: StopRequest) -> int:
    """Submit the command after ``--``; returns the exit status. Raises UserError for flags or a
    command that are no good.
    """
    own, arguments = split_at_dashes(argv)
    known = flags_of(SubmitSettings)
    for flag in (
        text.partition("=")[0] for text in own if text.startswith("--") and text != "--help"
    ):
        if flag.replace("_", "-").replace("no-dry", "dry") in known:
            continue
        other = (
            f"; use --sbatch {flag[2:]}"
            if flag[2:] in SBATCH_OPTIONS
            else "; sbatch's other options go by --sbatch key=value"
        )
        raise UserError(f"submit's flags must be among {listed(known)}, got {flag}{other}")
    return submit(parse(SubmitSettings, own, "esengine submit"), arguments)
