"""The number of ranks does not change a bit, and neither does a stop in between."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from esengine.launch.local_mpi import environment_of_ranks, find_mpirun
from tests.conftest import SUPPORT, Run

METHODS = {
    "truncation-es": ("train", "truncation-es", "--population-size", "24"),
    "truncation-es weighted": ("train", "truncation-es", "--population-size", "24", "--recombination", "weighted"),
    "cma-es": ("train", "cma-es", "--population-size", "8"),
    "openai-es": ("train", "openai-es", "--population-size", "24"),
    "ars": ("train", "ars", "--population-size", "24", "--top-directions", "5", "--survival-bonus", "0.5"),
    "pgpe": ("train", "pgpe", "--population-size", "24"),
    "snes": ("train", "snes"),
    "sep-cma-es": ("train", "sep-cma-es"),
    "truncation-es computed": ("train", "truncation-es", "--population-size", "24", "--noise-table-size", "0"),
    "truncation-es novel": (
        *("train", "truncation-es", "--population-size", "40", "--self-adaptive", "--crossover", "0.5", "--novelty", "nsr"),
        *("--stop-step", "20", "--stop-quantile", "0.3", "--member-statistic", "min", "--episodes-per-member", "2"),
    ),
    "openai-es novel": (
        *("train", "openai-es", "--population-size", "24", "--novelty", "nsra", "--behavior", "worlds:where_it_ended"),
        *("--episode-cap", "20", "--weight-decay", "0.01"),
    ),
    "truncation-es many": ("train", "truncation-es", "--population-size", "500", "--elite-episodes", "2"),
    "cma-es many": ("train", "cma-es", "--population-size", "300"),
    "cma-es computed": ("train", "cma-es", "--population-size", "8", "--noise-table-size", "0"),
}
FURTHER = {  # not tried on two hosts
    "cma-es at once": ("train", "cma-es", "--restarts", "ipop", "--concurrent-searches", "3", "--tolerance-fun", "1e3"),
    "pycma": ("train", "pycma", "--restarts", "bipop", "--option", "tolfun=40", "CMA_mirrors=true"),
}
TASKS = {
    "CartPole-v1": ("--env-id", "CartPole-v1", "--hidden-sizes", "4"),
    "CartPole-v1 stepped": ("--env-id", "CartPole-v1", "--env-backend", "gymnasium", "--max-episode-steps", "100"),
    "CartPole-v1 vectorized": ("--env-id", "CartPole-v1", "--env-backend", "vectorized", "--hidden-sizes", "4"),
    "InvertedPendulum-v5": ("--env-id", "InvertedPendulum-v5"),
    "Swimmer-v5": ("--env-id", "Swimmer-v5", "--max-episode-steps", "40"),
}
CASES = [(method, task) for method in list(METHODS)[:3] for task in ("CartPole-v1", "InvertedPendulum-v5")] + [
    ("openai-es", "CartPole-v1"),
    ("ars", "InvertedPendulum-v5"),
    ("pgpe", "CartPole-v1"),
    ("snes", "CartPole-v1"),
    ("sep-cma-es", "InvertedPendulum-v5"),
    ("truncation-es computed", "CartPole-v1"),
    ("cma-es computed", "InvertedPendulum-v5"),
    ("cma-es", "Swimmer-v5"),
    ("truncation-es", "CartPole-v1 stepped"),
    ("truncation-es novel", "CartPole-v1"),
    ("openai-es novel", "InvertedPendulum-v5"),
    ("truncation-es many", "CartPole-v1"),
    ("truncation-es many", "CartPole-v1 vectorized"),
    ("cma-es many", "CartPole-v1 vectorized"),
]
BUDGET = ("--generations", "4", "--eval-every", "2", "--checkpoint-every", "2")


def rows(run: Path) -> list[dict[str, Any]]:
    """All rows without the key that may differ between machines and starts."""
    parsed = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "machine"} for row in parsed]


def same_run(first: Path, second: Path) -> None:
    """Fails unless two runs hold the same rows and the same bytes of parameters and state."""
    assert rows(first) == rows(second)
    if (first / "policy.safetensors").exists():
        assert (first / "policy.safetensors").read_bytes() == (second / "policy.safetensors").read_bytes()
    names = [sorted(path.name for path in (run / "checkpoints").iterdir())[-1] for run in (first, second)]
    assert names[0] == names[1]
    states = [load_file(run / "checkpoints" / names[0] / "state.safetensors") for run in (first, second)]
    assert set(states[0]) == set(states[1])
    for name, array in states[0].items():
        np.testing.assert_array_equal(states[1][name], array, err_msg=name)
    done = [json.loads((run / "done.json").read_text()) for run in (first, second)]
    assert done[0] == done[1]


@pytest.mark.parametrize(("method", "task"), CASES)
def test_any_number_of_ranks_gives_the_same_bits(
    esengine: Run, esengine_here: Run, tmp_path: Path, method: str, task: str
) -> None:
    core = (method, task) in CASES[:6]  # the others share their engine: one and three workers, to keep the suite short
    for ranks in (1, 2, 4) if core else (1, 3):
        start = esengine_here if ranks == 1 else esengine
        result = start(*METHODS[method], *TASKS[task], *BUDGET, "--ranks", str(ranks), "--run-dir", f"run{ranks}")
        assert result.returncode == 0, result.stdout + result.stderr
        same_run(tmp_path / "run1", tmp_path / f"run{ranks}")
    assert len(rows(tmp_path / "run1")) == 4
    assert "episode_return_eval" in rows(tmp_path / "run1")[1]


@pytest.mark.parametrize(
    "method",
    [
        "truncation-es",
        "truncation-es weighted",
        "cma-es",
        "truncation-es computed",
        "truncation-es novel",
        "openai-es novel",
        "openai-es",
        "ars",
        "pgpe",
        "snes",
        "sep-cma-es",
        "pycma",
    ],
)
def test_a_resumed_run_equals_the_run_that_never_stopped(
    esengine: Run, esengine_here: Run, tmp_path: Path, method: str
) -> None:
    budget, core = (*(METHODS | FURTHER)[method], *TASKS["CartPole-v1"], "--generations"), method in list(METHODS)[:3]
    assert esengine_here(*budget, "10", "--ranks", "1", "--run-dir", "straight").returncode == 0
    begin = esengine if core else esengine_here
    assert begin(*budget, "5", "--ranks", "2" if core else "1", "--run-dir", "parts").returncode == 0
    assert json.loads((tmp_path / "parts" / "done.json").read_text())["generations"] == 5
    trust = ("--trust-modules",) if "--behavior" in budget else ()
    result = esengine("resume", "parts", "--generations", "10", "--ranks", "3", *trust)
    assert result.returncode == 0, result.stderr
    same_run(tmp_path / "straight", tmp_path / "parts")
    starts = json.loads((tmp_path / "parts" / "config.json").read_text())["starts"]
    assert [start["ranks"] for start in starts] == [3 if core else 1, 4]


@pytest.mark.parametrize("method", ["truncation-es weighted", "openai-es", "pgpe", "snes", "cma-es", "cma-es at once"])
def test_sums_that_all_ranks_share_give_the_bits_of_one(esengine: Run, esengine_here: Run, tmp_path: Path, method: str) -> None:
    """Large enough that the noise sum and the covariance sum are distributed."""
    objective = ("--objective", "worlds:sphere", "--dimension", "130", "--minimize", "--generations", "3")
    if not method.startswith("cma-es"):
        objective = ("--objective", "worlds:sphere", "--dimension", "90000", "--minimize", "--generations", "2")
    size = ("--population-size", "600")
    for ranks in (1, 3):
        start = esengine_here if ranks == 1 else esengine
        result = start(*(METHODS | FURTHER)[method], *objective, *size, "--ranks", str(ranks), "--run-dir", f"run{ranks}")
        assert result.returncode == 0, result.stdout + result.stderr
    same_run(tmp_path / "run1", tmp_path / "run3")
    best = [json.loads((tmp_path / f"run{ranks}" / "best.json").read_text()) for ranks in (1, 3)]
    assert best[0] == best[1]


def test_the_users_own_mpirun_is_used_as_found(esengine_here: Run, tmp_path: Path, environment: dict[str, str]) -> None:
    arguments = (*METHODS["truncation-es"], *TASKS["CartPole-v1"], *BUDGET)
    assert esengine_here(*arguments, "--ranks", "1", "--run-dir", "alone").returncode == 0
    for ranks in ("1", "4"):
        mpirun = [find_mpirun(), "--bind-to", "none", "--map-by", ":OVERSUBSCRIBE", "-n", ranks, sys.executable]
        run_under(mpirun, arguments, tmp_path, ranks)
        same_run(tmp_path / "alone", tmp_path / ranks)


def run_under(mpirun: list[str], arguments: tuple[str, ...], tmp_path: Path, ranks: str) -> None:
    variables = {**environment_of_ranks(), "PYTHONPATH": str(SUPPORT)}
    result = subprocess.run(
        [*mpirun, "-m", "esengine", *arguments, "--run-dir", ranks],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "4 generations" in result.stdout
    assert result.stdout.count(f"run directory {ranks}") == 1
    assert json.loads((tmp_path / ranks / "config.json").read_text())["starts"][0]["ranks"] == int(ranks)


def test_an_ask_tell_script_gives_the_same_on_one_and_on_four_ranks(tmp_path: Path) -> None:
    script = tmp_path / "loop.py"
    script.write_text(
        """
import numpy as np
from esengine import ObjectiveProblem, World, run_search
from esengine.algorithms import CMAES, CMAESSettings

def cost(x):
    return float(np.sum(x**2))

def search(pool):
    strategy = CMAES(CMAESSettings(), np.ones(10), seed=0)
    for _ in range(20):
        candidates = strategy.ask()
        strategy.tell(candidates, pool.evaluate(candidates).fitness, pool.population())
    return strategy.mean

mean = run_search(search, ObjectiveProblem(cost, 10, minimize=True))
print(mean.tobytes().hex())
"""
    )
    alone = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=True)
    mpirun = [find_mpirun(), "--bind-to", "none", "--map-by", ":OVERSUBSCRIBE", "-n", "4", sys.executable]
    four = subprocess.run(
        [*mpirun, script], env=environment_of_ranks(), capture_output=True, text=True, timeout=120, check=True
    )
    assert four.stdout.split() == alone.stdout.split() * 4


def test_ranks_run_with_one_thread_each(esengine: Run, tmp_path: Path) -> None:
    arguments = ("--objective", "worlds:environment_of_rank", "--dimension", "4", "--minimize", "--generations", "1")
    assert esengine("train", "cma-es", *arguments, "--ranks", "2", "--run-dir", "run").returncode == 0
    assert json.loads((tmp_path / "run" / "best.json").read_text())["value"] == 1


def test_an_evaluation_is_the_same_on_any_number_of_ranks(esengine: Run, tmp_path: Path) -> None:
    arguments = (*METHODS["truncation-es"], *TASKS["CartPole-v1"], "--generations", "2", "--run-dir", "run", "--ranks", "1")
    assert esengine(*arguments).returncode == 0
    printed = []
    for ranks in ("1", "3"):
        result = esengine("evaluate", "run", "--episodes", "12", "--ranks", ranks, "--json", f"{ranks}.json")
        assert result.returncode == 0, result.stderr
        printed.append(result.stdout.splitlines()[-1])
    assert printed[0] == printed[1]
    one, three = (json.loads((tmp_path / f"{ranks}.json").read_text()) for ranks in (1, 3))
    assert one == three
    assert sorted(one) == ["episodes", "mean_return", "returns", "standard_error"]
    assert f"mean return {one['mean_return']:.4f}" in printed[0]
