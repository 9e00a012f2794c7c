"""A deadline that the kernel enforces: a process that exceeds it is killed, also inside C code and
while it is suspended.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time

_SIGEV_SIGNAL = 0


class _SignalEvent(ctypes.Structure):
    """``struct sigevent`` of Linux, 64 bytes."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("number", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_char * 48),
    )


class _TimerSpec(ctypes.Structure):
    """``struct itimerspec``: interval and time left, each in seconds and nanoseconds."""

    _fields_ = (("interval", ctypes.c_long * 2), ("left", ctypes.c_long * 2))


class Deadline:
    """A timer that sends SIGKILL to this process unless it is moved in time. It is a POSIX timer,
    so it does not interfere with a simulator's alarms.
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL("librt.so.1", use_errno=True)
        self._timer = ctypes.c_void_p()
        event = _SignalEvent(number=signal.SIGKILL, notify=_SIGEV_SIGNAL)
        _check(
            "timer_create",
            self._library.timer_create(
                time.CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(self._timer)
            ),
        )

    def move(self, seconds: float) -> None:
        """Set the deadline to this many seconds from now, or to never with 0."""
        whole = int(seconds)
        nanoseconds = int((seconds - whole) * 1e9)
        spec = _TimerSpec(left=(ctypes.c_long * 2)(whole, nanoseconds))
        _check(
            "timer_settime", self._library.timer_settime(self._timer, 0, ctypes.byref(spec), None)
        )


def _check(call: str, status: int) -> None:
    if status:
        raise OSError(ctypes.get_errno(), f"{call}: {os.strerror(ctypes.get_errno())}")
