"""The state of a run by its files."""

from __future__ import annotations

from typing import Literal

from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.runs.run_lock import Owner

State = Literal["waiting", "running", "killed", "gone", "done", "stopped", "failed", "refused"]


def state_of(directory: RunDirectory) -> State:
    """The state of a run by its files.

    On another host than its own a killed run seems to be running.
    """
    if not (directory.path / "config.json").is_file():
        return "gone"
    starts = directory.starts()
    if not starts:
        return "waiting"
    outcome: State | None = starts[-1].get("outcome")
    owner = Owner.read(directory.path / "lock")  # None while it is taken or given up
    return outcome or ("killed" if owner is not None and owner.has_ended() else "running")
