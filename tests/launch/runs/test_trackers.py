"""Rows go to pandas, Weights & Biases, MLflow and Optuna, without a network."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import esengine
from tests.conftest import REPOSITORY, Run
from tests.support.words import words


def sphere(x: NDArray[np.float64]) -> float:
    return float(x @ x)


def noisy(x: NDArray[np.float64], seed: int) -> float:
    return float(x @ x + np.random.default_rng(seed).normal())


def table(x: NDArray[np.float64]) -> dict[str, float]:
    return {"cost": float(x @ x), "limit": float(x[1]), "first": float(x[0])}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> esengine.RunResult:
    folder = tmp_path_factory.mktemp("tracked") / "run"
    return esengine.train(
        "snes", "CartPole-v1", population_size=8, generations=3, sigma=0.5, run_dir=folder
    )


def test_metrics_become_a_frame(result: esengine.RunResult) -> None:
    pytest.importorskip("pandas", reason="needs the extra [dev]")
    frame = result.metrics.to_pandas()
    assert list(frame["generation"]) == [1, 2, 3]
    assert (frame["machine.workers"] == 1).all()


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("truncation-es", {"novelty": "nsra", "episode_cap": 50, "survival_bonus": 0.5}),
        ("vkd-cma-es", {}),
        ("pycma", {}),
        ("cma-es", {"restarts": "ipop", "concurrent_searches": 2, "surrogate": "lq"}),
        ("cma-es", {"returns": ("cost", "g:limit", "m:first")}),
        ("snes", {"noise": "on"}),
    ],
)
def test_every_column_is_on_the_page(method: str, settings: dict[str, Any], tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "runs.md").read_text()
    described = set(re.findall("`([a-z_]+)`", page.partition("## Columns of the metrics")[2]))
    given: dict[str, Any] = {"generations": 2, "population_size": 8, "run_dir": tmp_path / "run"}
    if {"concurrent_searches", "returns", "noise"} & set(settings):
        objective = table if "returns" in settings else noisy if "noise" in settings else sphere
        given |= {"objective": objective, "dimension": 5, "minimize": True}
    else:
        given |= {"env": "CartPole-v1", "eval_every": 1, "eval_episodes": 2}
    rows = esengine.train(method, **given, **settings).metrics
    assert {name for row in rows for name in (*row, *row["machine"])} - described == set()


def test_watch_logs_to_weights_and_biases(
    result: esengine.RunResult, esengine_here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="needs the extra [dev]")
    for name, value in (("WANDB_MODE", "offline"), ("WANDB_SILENT", "true"), ("WANDB_DIR", "w")):
        monkeypatch.setenv(name, value)
    (tmp_path / "w").mkdir()
    watched = esengine_here("watch", str(result.run_dir), *words("--once --wandb search"))
    assert watched.returncode == 0, watched.stderr
    assert list((tmp_path / "w").rglob("offline-run-*/*.wandb"))


def test_watch_logs_to_mlflow(
    result: esengine.RunResult, esengine_here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow = pytest.importorskip("mlflow", reason="needs the extra [dev]")
    logging.disable(logging.INFO)
    uri = f"file://{tmp_path}/tracked"
    watched = esengine_here("watch", str(result.run_dir), "--once", "--mlflow", uri)
    logging.disable(logging.NOTSET)
    assert watched.returncode == 0, watched.stderr
    client = mlflow.MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("Default").experiment_id])
    assert run.data.params["method"] == "snes"
    logged = client.get_metric_history(run.info.run_id, "fitness_mean")
    assert [each.step for each in logged] == [1, 2, 3]


def test_optuna_prunes_from_a_callback() -> None:
    optuna = pytest.importorskip("optuna", reason="needs the extra [dev]")
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial: Any) -> float:
        def report(row: dict[str, Any]) -> None:
            trial.report(row["cost_min"], row["generation"])
            if trial.should_prune():
                raise optuna.TrialPruned

        sigma = trial.suggest_float("sigma", 1e-6, 1.0, log=True)
        found = esengine.minimize(
            lambda x: float(np.sum(x**2)), np.ones(3), sigma, generations=8, callbacks=[report]
        )
        assert found.best_value is not None
        return found.best_value

    pruner = optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=2)
    study = optuna.create_study(pruner=pruner, sampler=optuna.samplers.RandomSampler(0))
    study.optimize(objective, n_trials=8)
    states = {trial.state.name for trial in study.trials}
    assert states == {"COMPLETE", "PRUNED"}
