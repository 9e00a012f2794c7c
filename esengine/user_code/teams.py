"""The communicator of the team of ranks that this process belongs to, for code of users."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

TEAM: Final = "@team"
"""Stands for the communicator among the arguments of an environment."""
PARAMETER: Final = "comm"
"""The parameter of an objective that gets it."""

_comm: Any = None


def join_team(comm: Any) -> None:
    """Let this process evaluate members with the other ranks of a communicator."""
    global _comm
    _comm = comm


def team_of_process() -> Any:
    """The communicator of this process's team; None outside of one."""
    return _comm


def takes(function: Callable[..., Any] | None, name: str) -> bool:
    """Whether a function has a parameter of a name."""
    if function is None:
        return False
    try:
        return name in inspect.signature(function).parameters
    except (TypeError, ValueError):  # a builtin tells nothing
        return False
