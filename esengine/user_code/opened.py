"""The environments that are open in this process, so that each is closed exactly once."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType
from typing import Any

CLOSE_S = 10.0
"""Seconds in which an environment must close, since a simulator that hangs must not hang a run."""
_AGAIN_S = 1.0  # the same for a kind of environment that has taken longer before

_faulty: dict[str, str] = {}  # names of environments that did not close in order, and why
_opened: dict[int, Any] = {}
os.register_at_fork(after_in_child=_opened.clear)  # they belong to the parent


class _TookTooLong(BaseException):
    """Not an `Exception`, so that no environment catches it."""


def note_open(env: Any) -> None:
    """Note that an environment, or a vector environment, was made."""
    _opened[id(env)] = env


def close(env: Any) -> None:
    """Close an environment, or a wrapper around one, unless that was done before.

    An environment that raises or takes longer than `CLOSE_S` is reported by a warning, since what
    it was used for is done.
    """
    inner = env
    while id(inner) not in _opened:
        inner = getattr(inner, "env", None)
        if inner is None:
            return

    del _opened[id(inner)]
    name = _name_of(env)
    try:
        with _time_limit(_AGAIN_S if name in _faulty else CLOSE_S):
            env.close()
    except _TookTooLong:
        _warn(name, f"it took longer than {CLOSE_S:.0f} s, so what it holds is left")
    except (Exception, SystemExit) as error:
        _warn(name, f"it raised {type(error).__name__}: {error}")


@contextmanager
def environments_closed() -> Iterator[None]:
    """Close at the end of the ``with`` block the environments that were made in it."""
    before = set(_opened)
    try:
        yield
    finally:
        for env in [env for key, env in _opened.items() if key not in before]:
            close(env)


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise `_TookTooLong` in the ``with`` block after some time, in the main thread, which alone
    may handle signals.
    """
    if current_thread() is not main_thread():
        yield
        return

    def expire(number: int, frame: FrameType | None) -> None:
        raise _TookTooLong

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if before is None else before)


def _name_of(env: Any) -> str:
    spec = getattr(env, "spec", None)
    return type(env).__name__ if spec is None else str(spec.id)


def _warn(name: str, what: str) -> None:
    """Report an environment once for each reason."""
    if _faulty.get(name) != what:
        _faulty[name] = what
        warnings.warn(f"close() of {name} must end in order, but {what}", RuntimeWarning, 3)
