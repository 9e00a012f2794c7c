"""A deadline that the kernel keeps: a process that overruns it is killed, also inside C code and
when it is stopped.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time

_SIGEV_SIGNAL = 0


class _Event(ctypes.Structure):
    """``struct sigevent`` of Linux, 64 bytes."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("number", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_char * 48),
    )


class _Span(ctypes.Structure):
    """``struct itimerspec``: interval and time left, each in seconds and nanoseconds."""

    _fields_ = (("interval", ctypes.c_long * 2), ("left", ctypes.c_long * 2))


class Deadline:
    """SIGKILL for this process when it is not moved in time. It is a POSIX timer, so a simulator's
    own alarms stay its own.
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL("librt.so.1", use_errno=True)
        self._timer = ctypes.c_void_p()
        event = _Event(number=signal.SIGKILL, notify=_SIGEV_SIGNAL)
        if self._library.timer_create(
            time.CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(self._timer)
        ):
            raise OSError(ctypes.get_errno(), f"timer_create: {os.strerror(ctypes.get_errno())}")

    def move(self, seconds: float) -> None:
        """The process is killed so many seconds from now; 0 for never."""
        whole = int(seconds)
        span = _Span(left=(ctypes.c_long * 2)(whole, int((seconds - whole) * 1e9)))
        if self._library.timer_settime(self._timer, 0, ctypes.byref(span), None):
            raise OSError(ctypes.get_errno(), f"timer_settime: {os.strerror(ctypes.get_errno())}")
