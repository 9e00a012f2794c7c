"""What a launch keeps in shared memory."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from esengine import session
from esengine.node_memory import ROOT


def test_folders_of_the_living_stay_and_those_of_the_dead_go() -> None:
    script = (
        "import time; from esengine.launch.local_mpi import _session_folder\n"
        "with _session_folder() as folder: print(folder, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert folder.parent == ROOT
        assert folder not in session.remove_abandoned(ROOT)
        assert folder.exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert folder in session.remove_abandoned(ROOT)
    assert not folder.exists()
