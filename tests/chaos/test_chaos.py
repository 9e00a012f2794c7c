"""The short form of the chaos suite: one run of each kind of disturbance that the other tests do
not cover.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from esengine.launch.mpirun.local_ranks import find_mpirun
from esengine.launch.runs.json_lines import FailureLog
from tests.chaos import births
from tests.chaos.scenarios import (
    SCENARIOS,
    Run,
    kill_all,
    kill_workers,
    reference,
    same_result,
)
from tests.chaos.tasks import TASKS
from tests.support import processes
from tests.support.launches import TOLERANT, mpirun, variables

SHORT = {
    "two workers killed": "environment",
    "the only worker killed": "objective",
    "node leaders killed": "genomes",
    "the master killed, then resumed": "objective",
    "everything killed and a checkpoint cut short, then resumed": "environment",
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the undisturbed run of a task, which is made once."""

    @cache
    def run_of(task: str) -> Path:
        folder = tmp_path_factory.mktemp("undisturbed")
        reference(folder, task)
        return folder / "run"

    return run_of


@pytest.mark.parametrize("name", SHORT)
def test_a_disturbed_run_gives_the_result_of_the_undisturbed_one(
    tmp_path: Path, name: str, undisturbed: Callable[[str], Path]
) -> None:
    SCENARIOS[name].play(tmp_path, SHORT[name], random.Random(1))
    same_result(undisturbed(SHORT[name]), tmp_path / "run")


@pytest.mark.parametrize(
    ("method", "workers", "later"), [("map-elites", 3, 1), ("map-elites", 1, 3), ("cma-me", 3, 3)]
)
def test_an_archive_whose_run_was_killed_has_the_bytes_of_an_undisturbed_one(
    tmp_path: Path, undisturbed: Callable[[str], Path], method: str, workers: int, later: int
) -> None:
    run = Run(tmp_path, random.Random(workers))
    run.start(*TASKS[method], "--ranks", str(workers), "--run-dir", "run")
    run.wait_for_generation(5)
    assert run.process.poll() is None
    kill_all(run)
    run.finish(later)
    same_result(undisturbed(method), run.path)


def test_members_that_hang_in_c_code_are_killed_and_counted_also_with_one_rank(
    tmp_path: Path,
) -> None:
    run = Run(tmp_path, random.Random(1))
    run.start(*TASKS["hanging"], "--ranks", "1", "--run-dir", "run")
    status, errors = run.end()
    assert status == 0, errors
    assert "prterun" not in errors
    failures = FailureLog(run.path).read()
    assert failures
    assert all("--member-timeout 5 s" in failure["error"] for failure in failures)


def test_without_fault_tolerance_a_dead_worker_ends_the_job_which_is_resumed(
    tmp_path: Path, undisturbed: Callable[[str], Path]
) -> None:
    """An mpirun without the tools that tell of fault tolerance beside it."""
    plain = tmp_path / "mpirun"
    plain.write_text(f'#!/bin/sh\nexec {find_mpirun()} "$@"\n')
    plain.chmod(0o755)
    run = Run(tmp_path, random.Random(1))
    run.start(*TASKS["objective"], "--ranks", "2", "--run-dir", "run", ESENGINE_MPIRUN=str(plain))
    run.wait_for_generation(3)
    processes.kill(processes.living(run.mark)[-1:])
    status, errors = run.end()
    assert status == 75
    assert "resume with: esengine resume run" in errors
    run.start("resume", "run", "--trust-modules", "--quiet", "--ranks", "2")
    assert run.end()[0] == 0
    same_result(undisturbed("objective"), run.path)


@pytest.mark.parametrize("victim", ["rank", "guard"])
def test_a_death_before_the_pool_is_open_starts_the_ranks_again(
    tmp_path: Path, victim: str
) -> None:
    run = Run(tmp_path, random.Random(1))
    run.start(*TASKS["objective"], "--ranks", "2", "--run-dir", "run")
    while not (living := processes.workers(run.mark)):
        assert run.process.poll() is None
    processes.kill([living[0].pid if victim == "rank" else processes.guard_of(living[0])])
    status, errors = run.end()
    assert status == 0, errors
    assert (run.path / "done.json").exists()


def test_replacements_that_die_or_stand_still_at_birth_hold_nothing_up(
    tmp_path: Path, undisturbed: Callable[[str], Path]
) -> None:
    """Both workers die. Of the replacements one dies as well, and one stands still to the end."""
    run = Run(tmp_path, random.Random(1))
    run.start(*TASKS["objective"], "--ranks", "2", "--run-dir", "run")
    run.wait_for_generation(2)
    processes.kill(rank.pid for rank in processes.workers(run.mark))
    while len(newborn := births.replacements(run)) < 2:
        assert run.process.poll() is None
    processes.kill([newborn[0].pid], signal.SIGSTOP)
    processes.kill([newborn[1].pid])
    status, errors = run.end()
    assert status == 0, errors
    same_result(undisturbed("objective"), run.path)


def test_a_script_goes_on_without_a_worker_and_every_rank_gets_the_result(tmp_path: Path) -> None:
    script = tmp_path / "search.py"
    script.write_text(
        "import esengine, sys, worlds\n"
        "begun = lambda row: open('begun', 'w').close()\n"
        "result = esengine.minimize(worlds.slow_sphere, 3, population_size=40, generations=8, "
        "callbacks=[begun])\n"
        "sys.stdout.write(f'value {result.best_value}\\n')\n"  # whole lines among other ranks'
    )
    run = Run(tmp_path, random.Random(1))
    environment = {**variables(), processes.MARK: run.mark}
    command = [*mpirun(4, *TOLERANT), str(script)]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        while not (tmp_path / "begun").exists():
            assert process.poll() is None
            time.sleep(0.01)
        kill_workers(run, 1)
        output, _ = process.communicate(timeout=120)
    assert processes.wait_for_the_end(run.mark) == []
    values = [line for line in output.splitlines() if line.startswith("value")]
    assert len(values) >= 3  # the master, the survivors and, if it came in time, the replacement
    assert len(set(values)) == 1
