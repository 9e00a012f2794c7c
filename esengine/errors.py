"""The errors that users see. Each message says what, rule, value and way out."""

from __future__ import annotations


class UserError(ValueError):
    """Bad flags, bad files or a bad environment; the command line prints it as one line and exits with 2."""


class WorkerError(RuntimeError):
    """A worker's exception, told on the master with rank, host, generation, member, seed and traceback."""


class Interrupted(Exception):
    """A signal asked the run to stop at the next safe point."""


def listed(names: object) -> str:
    """The names of an iterable as one readable list: ``a, b, c``."""
    return ", ".join(str(name) for name in names)  # type: ignore[attr-defined]
