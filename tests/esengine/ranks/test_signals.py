"""Signals end a process that may not stop in order."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_computes_in_another_language_is_ended(number: signal.Signals) -> None:
    script = (
        "import hashlib\nfrom esengine.ranks import StopRequest\n"
        "with StopRequest().install().ending_at_once():\n"
        "    print('ready', flush=True)\n"
        "    hashlib.pbkdf2_hmac('sha256', b'', b'', (1 << 31) - 1)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)  # until it is there
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (1, f"esengine: stopped by {number.name}\n")
