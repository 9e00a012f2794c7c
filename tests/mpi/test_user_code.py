"""User code on several ranks: what it leaves running, which copy it is, and what fails on one
rank.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from tests.conftest import Run
from tests.support.words import words

ENVIRONMENT = """
import os, subprocess
import gymnasium
import numpy as np


class Leaving(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-9, 9, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self):
        self.copy = os.environ.get("ESENGINE_WORKER", "none")
        if self.copy == "2" and os.path.exists("working"):
            raise OSError("the port is in use")
        command = ["sleep", "321"] if self.copy != "none" else ["true"]  # whose output is ours
        self.server = subprocess.Popen(command, start_new_session=True)
        self.note("open")

    def note(self, what):
        with open("notes.txt", "a") as file:
            file.write(f"{what} {self.copy} {self.server.pid}\\n")

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if self.copy == "1":  # at work, not tried before ranks start
            open("working", "w").close()
        self.steps = 0
        return self.np_random.normal(size=3).astype(np.float32), {}

    def step(self, action):
        self.steps += 1
        return self.np_random.normal(size=3).astype(np.float32), 0.0, False, self.steps == 5, {}

    def close(self):
        self.note("close")


gymnasium.register("Leaving-v0", Leaving)
"""


def test_a_launch_ends_with_its_ranks_whatever_user_code_leaves(
    esengine: Run, tmp_path: Path
) -> None:
    (tmp_path / "leaving.py").write_text(ENVIRONMENT)
    search = words("train truncation-es --env-id leaving:Leaving-v0 --population-size 8")
    budget = words("--generations 1 --final-episodes 2 --ranks 2 --run-dir run")
    try:
        result = esengine(*search, *budget, timeout=60, ESENGINE_WORKER="0")  # left by another run
    finally:
        notes = [line.split() for line in (tmp_path / "notes.txt").read_text().splitlines()]
        for pid in {pid for _, _, pid in notes}:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    assert result.returncode == 0, result.stderr
    opened = sorted(pid for what, _, pid in notes if what == "open")
    assert opened == sorted(pid for what, _, pid in notes if what == "close")
    assert {copy for _, copy, _ in notes} == {"none", "0", "1", "2"}


def test_what_one_rank_cannot_make_ends_the_run_with_its_name(
    esengine: Run, tmp_path: Path
) -> None:
    refused = 'if self.copy == "1":'
    text = ENVIRONMENT.replace('if self.copy == "2" and os.path.exists("working"):', refused)
    (tmp_path / "leaving.py").write_text(text.replace('["sleep", "321"]', '["true"]'))
    search = words("train truncation-es --env-id leaving:Leaving-v0 --population-size 8")
    result = esengine(*search, *words("--ranks 2 --run-dir run"), timeout=60)

    assert result.returncode == 2, result.stderr
    assert "esengine: rank 1 on " in result.stderr
    assert result.stderr.count("OSError: the port is in use") == 1
