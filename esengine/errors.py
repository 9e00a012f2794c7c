"""The errors that users see. Each message says what, rule, value and way out."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """Invalid flags, files or environments. The command line prints one line and exits with 2."""


class WorkerError(RuntimeError):
    """A worker's exception, raised on the master with rank, host, generation, member, seed and
    traceback.
    """


class RanksFailed(Exception):
    """Ranks that this process started have failed and reported why. The command line exits with
    their status.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"local ranks failed with status {status}")
        self.status = status


class Interrupted(Exception):
    """A signal asked the run to stop at the next safe point."""


def listed(names: Iterable[object]) -> str:
    """The names of an iterable as one list: ``a, b, c``."""
    return ", ".join(str(name) for name in names)


def in_one_line(value: object) -> str:
    """A value of an environment, shortened to one line for a message."""
    words = " ".join(str(value).split())
    return words if len(words) <= 120 else f"{words[:100]} ..."


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 rank``, ``2,048 ranks``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def nearest(name: str, names: Iterable[str]) -> str:
    """The suggestion for an unknown name, such as ``; did you mean cma-es?``, or nothing."""
    return "".join(f"; did you mean {close}?" for close in get_close_matches(name, names, n=1))
