"""The number of ranks does not change a bit, and neither does a stop in between."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from esengine.launch.settings.methods import STRATEGIES
from tests.conftest import Run
from tests.support.launches import run_all, under_mpirun
from tests.support.runs import folder_of, rows, same_run
from tests.support.searches import BUDGET, METHODS, TASKS
from tests.support.words import words

MEASURES = "--behavior-indices 0 2 --measure-ranges -2.5 2.5 -0.3 0.3 --cells 8 8"
FURTHER = {  # not tried on two hosts
    "cma-es at once": words(
        "train cma-es --restarts ipop --concurrent-searches 3 --tolerance-x 1.1"
    ),
    "ars V1": ("train", "ars", "--population-size", "24", "--no-normalize-observations"),
    "cma-es noisy": words("train cma-es --noise on --population-size 8 --episodes-per-member 1"),
    "cma-es lq": words("train cma-es --surrogate lq --surrogate-batch 3"),
    "ars lag": words("train ars --population-size 24 --lag 1"),
    "openai-es lag": words("train openai-es --population-size 24 --lag 2"),
    "cma-es cholesky": words("train cma-es --population-size 8 --factor cholesky --mirrored"),
    "cma-es restarted": ("train", "cma-es", "--restarts", "bipop", "--tolerance-x", "1.1"),
    "lm-ma-es": ("train", "lm-ma-es"),
    "openai-es lstm": words("train openai-es --population-size 24 --policy lstm"),
    "openai-es clipup": ("train", "openai-es", "--population-size", "24", "--optimizer", "clipup"),
    "map-elites": words(f"train map-elites --population-size 24 --reevaluate 3 {MEASURES}"),
    "cma-me": words(f"train cma-me --population-size 24 --emitters 3 {MEASURES}"),
    "cma-mae": words(
        f"train cma-mae --population-size 24 --emitters 3 --emitter sep-cma-es {MEASURES}"
    ),
    "pycma": ("train", "pycma", "--restarts", "bipop", "--option", "tolfun=40", "CMA_mirrors=true"),
}
FURTHER |= {name: ("train", name) for name in STRATEGIES if name not in METHODS | FURTHER}
ALL = METHODS | FURTHER
CASES = [
    (method, task)
    for method in list(METHODS)[:3]
    for task in ("CartPole-v1", "InvertedPendulum-v5")
] + [
    ("openai-es", "CartPole-v1"),
    ("ars", "InvertedPendulum-v5"),
    ("pgpe", "Pendulum-v1 gru"),
    ("openai-es", "Pendulum-v1 module"),
    ("snes", "CartPole-v1"),
    ("openai-es lag", "CartPole-v1"),
    ("ars lag", "InvertedPendulum-v5"),
    ("sep-cma-es", "InvertedPendulum-v5"),
    ("truncation-es computed", "CartPole-v1"),
    ("cma-es computed", "InvertedPendulum-v5"),
    ("cma-es", "Swimmer-v5"),
    ("truncation-es", "CartPole-v1 stepped"),
    ("truncation-es novel", "CartPole-v1"),
    ("openai-es novel", "InvertedPendulum-v5"),
    ("truncation-es many", "CartPole-v1"),
    ("map-elites", "InvertedPendulum-v5"),
    ("cma-es many", "CartPole-v1 vectorized"),
]


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Gives the folder of all cases that are tried on so many workers; they run once, in one
    launch.
    """

    @cache
    def on(workers: int) -> Path:
        folder = tmp_path_factory.mktemp(f"on{workers}")
        cases = [case for case in CASES if workers in workers_of(*case)]
        run_all(
            [
                (*ALL[method], *TASKS[task], *BUDGET, "--run-dir", folder_of(method, task))
                for method, task in cases
            ],
            workers,
            folder,
        )
        return folder

    return on


def workers_of(method: str, task: str) -> tuple[int, ...]:
    """The numbers of workers that a case is tried on; most cases share the engine of the first."""
    return (2, 4) if (method, task) in CASES[:6] else (3,)


@pytest.mark.parametrize(("method", "task"), CASES)
def test_any_number_of_ranks_gives_the_same_bits(
    launched: Callable[[int], Path], esengine_here: Run, tmp_path: Path, method: str, task: str
) -> None:
    result = esengine_here(
        *ALL[method], *TASKS[task], *BUDGET, "--ranks", "1", "--run-dir", "alone"
    )
    assert result.returncode == 0, result.stdout + result.stderr
    for workers in workers_of(method, task):
        same_run(tmp_path / "alone", launched(workers) / folder_of(method, task))
    assert len(rows(tmp_path / "alone")) == 4
    assert "episode_return_eval" in rows(tmp_path / "alone")[1]


RESUMED = [
    name
    for name in [*METHODS, *FURTHER]
    if not name.endswith((" many", "cma-es computed", " lq"))  # lq is for objectives
]


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs that stopped after 5 generations on two workers and went on to 10 on
    three.
    """
    folder = tmp_path_factory.mktemp("resumed")
    begun = [(*ALL[method], *TASKS["CartPole-v1"], "--generations", "5") for method in RESUMED]
    run_all(
        [
            (*command, "--run-dir", folder_of(method))
            for command, method in zip(begun, RESUMED, strict=True)
        ],
        2,
        folder,
    )
    for method in RESUMED:
        assert (
            json.loads((folder / folder_of(method) / "done.json").read_text())["generations"] == 5
        )
    run_all(
        [
            ("resume", folder_of(method), "--generations", "10", "--trust-modules")
            for method in RESUMED
        ],
        3,
        folder,
    )
    return folder


@pytest.mark.parametrize("method", RESUMED)
def test_a_resumed_run_equals_the_run_that_never_stopped(
    resumed: Path, esengine_here: Run, tmp_path: Path, method: str
) -> None:
    command = (*ALL[method], *TASKS["CartPole-v1"], "--generations", "10")
    assert esengine_here(*command, "--ranks", "1", "--run-dir", "straight").returncode == 0
    same_run(tmp_path / "straight", resumed / folder_of(method))
    starts = json.loads((resumed / folder_of(method) / "config.json").read_text())["starts"]
    assert [start["workers"] for start in starts] == [2, 3]


SHARED = [
    "truncation-es weighted",
    "openai-es",
    "openai-es lag",
    "pgpe",
    "vkd-cma-es",
    "lm-ma-es",
    "cma-es",
    "cma-es at once",
    "cma-es lq",
]


def large(method: str) -> tuple[str, ...]:
    """A search in which the noise sum and the covariance sum are distributed, or one whose model
    the master has alone.
    """
    if method == "cma-es lq":
        objective = words("--objective worlds:sphere --dimension 6 --minimize --generations 40")
        return (*FURTHER[method], *objective)
    objective = words("--objective worlds:sphere --dimension 130 --minimize --generations 3")
    if not method.startswith("cma-es"):
        objective = words("--objective worlds:sphere --dimension 90000 --minimize --generations 2")
    return (*ALL[method], *objective, "--population-size", "600")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of such searches on three workers."""
    folder = tmp_path_factory.mktemp("shared")
    run_all([(*large(method), "--run-dir", folder_of(method)) for method in SHARED], 3, folder)
    return folder


@pytest.mark.parametrize("method", SHARED)
def test_sums_that_all_ranks_share_give_the_bits_of_one(
    shared: Path, esengine_here: Run, tmp_path: Path, method: str
) -> None:
    result = esengine_here(*large(method), "--ranks", "1", "--run-dir", "alone")
    assert result.returncode == 0, result.stdout + result.stderr
    same_run(tmp_path / "alone", shared / folder_of(method))
    best = [
        json.loads((run / "best.json").read_text())
        for run in (tmp_path / "alone", shared / folder_of(method))
    ]
    assert best[0] == best[1]


def test_the_users_own_mpirun_is_used_as_found(esengine_here: Run, tmp_path: Path) -> None:
    arguments = (*METHODS["truncation-es"], *TASKS["CartPole-v1"], *BUDGET)
    assert esengine_here(*arguments, "--ranks", "1", "--run-dir", "alone").returncode == 0
    for ranks in (1, 4):
        name = f"on{ranks}"
        result = under_mpirun(ranks, tmp_path, "-m", "esengine", *arguments, "--run-dir", name)
        assert result.returncode == 0, result.stderr
        assert "4 generations" in result.stdout
        assert result.stdout.count(f"run directory {name}") == 1
        assert json.loads((tmp_path / name / "config.json").read_text())["starts"][0][
            "workers"
        ] == max(1, ranks - 1)
        same_run(tmp_path / "alone", tmp_path / name)


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
    alone = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, check=True
    )
    four = under_mpirun(4, tmp_path, script)
    assert four.returncode == 0, four.stderr
    assert four.stdout.split() == alone.stdout.split() * 4


def test_ranks_run_with_one_thread_each(esengine: Run, tmp_path: Path) -> None:
    arguments = words(
        "--objective worlds:environment_of_rank --dimension 4 --minimize --generations 1"
    )
    assert (
        esengine("train", "cma-es", *arguments, "--ranks", "2", "--run-dir", "run").returncode == 0
    )
    assert json.loads((tmp_path / "run" / "best.json").read_text())["value"] == 1


def test_an_evaluation_is_the_same_on_any_number_of_ranks(
    esengine: Run, esengine_here: Run, tmp_path: Path
) -> None:
    arguments = (
        *METHODS["truncation-es"],
        *TASKS["CartPole-v1"],
        *words("--generations 2 --run-dir run --ranks 1"),
    )
    assert esengine_here(*arguments).returncode == 0
    printed = []
    for ranks, start in (("1", esengine_here), ("3", esengine)):
        result = start(
            "evaluate", "run", "--episodes", "12", "--ranks", ranks, "--json", f"{ranks}.json"
        )
        assert result.returncode == 0, result.stderr
        printed.append(result.stdout.splitlines()[-1])
    assert printed[0] == printed[1]
    one, three = (json.loads((tmp_path / f"{ranks}.json").read_text()) for ranks in (1, 3))
    assert one == three
    assert sorted(one) == ["episodes", "mean_return", "returns", "standard_error"]
    assert f"mean return {one['mean_return']:.4f}" in printed[0]
