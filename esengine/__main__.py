"""The process ``esengine``, also as ``python -m esengine``."""

from __future__ import annotations

import os
import signal
from contextlib import suppress


def run() -> None:
    """Run the command line. A Ctrl-C during the imports ends the process without a traceback."""
    _open_streams()
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:  # not ignored, as under nohup
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    from esengine.launch.cli import run_process

    run_process()


def _open_streams() -> None:
    """Let standard streams that are closed lead nowhere. Otherwise the first file that is opened
    would be what a child writes its output to.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
                os.set_inheritable(descriptor, True)


if __name__ == "__main__":
    run()
