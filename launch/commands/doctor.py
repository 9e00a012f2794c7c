"""``esengine doctor``: what this installation has, and what it lacks."""

from __future__ import annotations

from esengine.launch.commands.parsing import parse
from esengine.launch.doctor import DoctorSettings, doctor
from esengine.ranks.signals import StopRequest


def command(argv: list[str], stop: StopRequest) -> int:
    """Print the report; returns the exit status."""
    return doctor(parse(DoctorSettings, argv, "esengine doctor"))
