"""The process ``esengine``, also as ``python -m esengine``."""

from __future__ import annotations

import signal


def run() -> None:
    """Run the command line. A Ctrl-C during the imports ends the process without a traceback."""
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:  # not ignored, as under nohup
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    from esengine.launch.cli import run_process

    run_process()


if __name__ == "__main__":
    run()
