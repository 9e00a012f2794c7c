"""``esengine submit [resources] -- COMMAND``: submit a run to Slurm."""

from __future__ import annotations

from dataclasses import fields

from esengine.checks import flag_name
from esengine.errors import UserError, listed
from esengine.launch.settings.flags import parse, split_at_dashes
from esengine.launch.slurm.settings import SBATCH_OPTIONS, SubmitSettings
from esengine.launch.slurm.submission import submit
from esengine.ranks import StopRequest


def command(argv: list[str], stop: StopRequest) -> int:
    """Submit the command after ``--``; returns the exit status. Raises UserError for invalid
    flags or an invalid command.
    """
    own, arguments = split_at_dashes(argv)
    known = [flag_name(field.name) for field in fields(SubmitSettings)]
    for word in own:
        flag = word.partition("=")[0]
        plain = flag.replace("_", "-").replace("no-dry", "dry")
        if not flag.startswith("--") or plain in (*known, "--help"):
            continue
        way_out = "give other options of sbatch as --sbatch key=value"
        if flag[2:] in SBATCH_OPTIONS:
            way_out = f"use --sbatch {flag[2:]}"
        raise UserError(f"submit's flags must be among {listed(known)}, got {flag}; {way_out}")

    return submit(parse(SubmitSettings, own, "esengine submit"), arguments)
