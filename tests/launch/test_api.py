"""The same from Python."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import esengine
from esengine.errors import UserError, WorkerError
from tests.support.worlds import ellipsoid, failing, sphere


def test_minimize_finds_the_minimum_and_reports_it() -> None:
    rows: list[dict[str, Any]] = []
    result = esengine.minimize(sphere, 6, callbacks=[rows.append], seed=3)
    assert result.finished
    assert result.best_value is not None
    assert result.best_value < 1e-9
    assert result.best_point is not None
    assert sphere(result.best_point) == pytest.approx(result.best_value, abs=1e-20)
    np.testing.assert_allclose(result.parameters, 1, atol=1e-4)
    assert len(rows) == result.generations
    assert rows[-1]["cost_min"] >= 0


def test_the_same_seed_gives_the_same_result_in_one_process() -> None:
    results = [esengine.minimize(ellipsoid, 5, generations=30, seed=1) for _ in range(2)]
    np.testing.assert_array_equal(results[0].parameters, results[1].parameters)


@pytest.mark.parametrize("method", ["cma-es", "truncation-es"])
def test_a_target_ends_the_search(method: str) -> None:
    result = esengine.minimize(sphere, 3, method=method, target_return=0.05, seed=0)
    assert result.best_value is not None
    assert result.best_value <= 0.05
    assert "reached the target" in result.reason


def test_unknown_settings_and_methods_list_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"popsize is called population_size here"):
        esengine.minimize(sphere, 3, popsize=4)
    with pytest.raises(UserError, match=r"got toleranse_fun; did you mean tolerance_fun\?"):
        esengine.minimize(sphere, 3, toleranse_fun=4)
    with pytest.raises(UserError, match=r"got zebra; esengine train cma-es --help-all lists them"):
        esengine.minimize(sphere, 3, zebra=4)
    with pytest.raises(UserError, match=r"got callback; did you mean callbacks\?"):
        esengine.minimize(sphere, 3, callback=print)
    with pytest.raises(
        UserError, match="one of truncation-es, openai-es, ars, pgpe, snes, cma-es, sep-cma-es"
    ):
        esengine.minimize(sphere, 3, method="adam")


def test_an_environment_in_place_of_the_method_is_answered_with_the_order() -> None:
    with pytest.raises(UserError, match="got 'CartPole-v1'; name a method first"):
        esengine.train("CartPole-v1")
    with pytest.raises(UserError, match=r"^method must be a name, .* is the second argument"):
        esengine.train(gymnasium.make("CartPole-v1"))  # type: ignore[arg-type]


def test_one_callback_needs_no_list() -> None:
    rows: list[dict[str, Any]] = []
    result = esengine.minimize(sphere, 3, generations=4, callbacks=rows.append)
    assert len(rows) == result.generations
    for wrong in (5, ["print"], None):
        with pytest.raises(UserError, match=r"^callbacks must be a function .* for example"):
            esengine.minimize(sphere, 3, callbacks=wrong)  # type: ignore[arg-type]


def test_settings_have_types_and_minimize_keeps_no_run() -> None:
    with pytest.raises(UserError, match=r"^population_size must be a whole number, got '8'"):
        esengine.minimize(sphere, 3, population_size="8")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="minimize works in memory"):
        esengine.minimize(sphere, 3, run_dir="somewhere")


def test_an_error_names_the_argument_and_not_the_flag() -> None:
    with pytest.raises(
        UserError, match=r"^population_size must be at least 4, got 2; leave it out"
    ):
        esengine.minimize(sphere, 3, population_size=2)
    with pytest.raises(UserError, match=r"^max_speed belongs to optimizer clipup, got adam; drop"):
        esengine.train("openai-es", env_id="CartPole-v1", max_speed=0.1)
    with pytest.raises(UserError, match=r"^policy must be a run directory, .* one by one"):
        esengine.evaluate(["a", "b"])  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^episodes must be at least 1, got 0; 100 is the default"):
        esengine.evaluate("missing", episodes=0)


def test_an_objective_that_raises_ends_the_search_with_its_traceback() -> None:
    with pytest.raises(WorkerError, match="ZeroDivisionError: the simulator diverged"):
        esengine.minimize(failing, 3)


@pytest.mark.parametrize("ranks", [1, 2])
def test_train_evaluate_and_load_a_policy(tmp_path: Path, ranks: int) -> None:
    result = esengine.train(
        "truncation-es",
        env_id="CartPole-v1",
        population_size=16,
        generations=2,
        ranks=ranks,
        run_dir=tmp_path / "run",
    )
    assert result.generations == 2
    assert result.final_return is not None
    policy = esengine.load_policy(tmp_path / "run")
    np.testing.assert_array_equal(policy.parameters, result.parameters)
    evaluation = esengine.evaluate(tmp_path / "run", episodes=5)
    assert len(evaluation.returns) == 5
    assert repr(evaluation).startswith("Evaluation(mean_return=")
    assert repr(policy) == "Policy(CartPole-v1, 4 observations, 114 parameters)"
    assert json.loads((tmp_path / "run" / "done.json").read_text())["generations"] == 2
    assert policy.act(np.zeros(4)) in (0, 1)


@pytest.mark.parametrize("given", [str, esengine.load_policy])
def test_a_policy_starts_another_run_where_it_ended(
    tmp_path: Path, given: Callable[[Path], Any]
) -> None:
    common: dict[str, Any] = {"env_id": "CartPole-v1", "population_size": 16, "seed": 1}
    esengine.train("truncation-es", **common, generations=6, run_dir=tmp_path / "first")
    esengine.train(
        "cma-es",
        **common,
        init_policy=given(tmp_path / "first"),
        sigma=1e-9,
        generations=1,
        run_dir=tmp_path / "second",
    )
    first, second = (
        esengine.evaluate(tmp_path / name, episodes=10) for name in ("first", "second")
    )
    assert second.returns == first.returns
    with pytest.raises(UserError, match=r"^init_policy must fit Pendulum-v1"):
        esengine.train(
            "cma-es",
            env_id="Pendulum-v1",
            init_policy=tmp_path / "first",
            run_dir=tmp_path / "third",
        )


def test_importing_the_package_is_quick_and_quiet() -> None:
    script = (
        "import esengine, sys; print(sorted({'torch', 'numba', 'gymnasium', 'mpi4py'} & "
        "set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_training_does_not_import_torch(tmp_path: Path) -> None:
    script = (
        "import esengine, sys\n"
        f"esengine.train('cma-es', env_id='CartPole-v1', generations=1, "
        f"run_dir={str(tmp_path / 'run')!r})\n"
        "print('torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'maximise'"):
        _ = esengine.maximise


def test_collect_returns_the_episodes_of_an_expert() -> None:
    demonstrations = esengine.collect(
        expert="examples.pendulum:swing_up", env_id="Pendulum-v1", episodes=2, max_episode_steps=5
    )
    assert [one.num_steps for one in demonstrations.trajectories] == [5, 5]
    assert repr(demonstrations) == "Demonstrations(Pendulum-v1, 2 episodes, 10 steps)"
    assert repr(demonstrations.trajectories[0]).startswith("Trajectory(5 steps, return -")


def test_collect_writes_no_file_and_lists_the_settings_that_it_knows() -> None:
    with pytest.raises(UserError, match=r"collect works in memory .*got out"):
        esengine.collect(policy="run", out="demos.npz")
    with pytest.raises(UserError, match=r"got episode; did you mean episodes"):
        esengine.collect(policy="run", episode=2)
