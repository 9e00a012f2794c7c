"""``esengine doctor``: print what this installation has, and what it lacks."""

from __future__ import annotations

from esengine.launch.doctor import DoctorSettings, doctor
from esengine.launch.settings.flags import parse
from esengine.ranks import StopRequest


def command(argv: list[str], stop: StopRequest) -> int:
    """Print the report; returns the exit status."""
    return doctor(parse(DoctorSettings, argv, "esengine doctor"))
