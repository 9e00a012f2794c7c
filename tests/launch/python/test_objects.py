"""Functions, environments and callbacks as Python objects, with any number of workers."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import esengine
from esengine.errors import UserError, WorkerError
from esengine.launch.python.carried_out import Stopped
from esengine.launch.runs.run_directory import RunDirectory
from tests.support.runs import same_run

COMMON: dict[str, Any] = {"population_size": 8, "generations": 2, "eval_every": 0}


class Corridor(gymnasium.Env[Any, Any]):
    """Walk to a goal on a line; the observation is a dictionary."""

    def __init__(self, goal: float = 3.0) -> None:
        self.observation_space = gymnasium.spaces.Dict(
            {"place": gymnasium.spaces.Box(-20, 20, (1,)), "done": gymnasium.spaces.Discrete(2)}
        )
        self.action_space = gymnasium.spaces.Box(-1, 1, (1,))
        self.goal = goal
        self.place = 0.0
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.place = float(self.np_random.normal())
        self.steps = 0
        return self.observe(), {}

    def observe(self) -> Any:
        return {"place": np.array([self.place], np.float32), "done": int(self.place > self.goal)}

    def step(self, action: Any) -> Any:
        self.place = float(np.clip(self.place + float(action[0]), -20, 20))
        self.steps += 1
        return self.observe(), -abs(self.place - self.goal), False, self.steps >= 8, {}


def test_environments_are_factories_classes_and_environments_with_the_same_result(
    tmp_path: Path,
) -> None:
    goal = 2.0
    kinds: dict[str, Any] = {
        "closure": lambda: Corridor(goal),
        "instance": Corridor(goal),
        "class": Corridor,
    }
    results = {
        name: esengine.train(
            "cma-es",
            env,
            run_dir=tmp_path / name,
            env_arg={"goal": goal} if name == "class" else None,
            **COMMON,
        )
        for name, env in kinds.items()
    }
    first = results["closure"]
    for result in results.values():
        np.testing.assert_array_equal(result.parameters, first.parameters)
    observation, _ = Corridor().reset(seed=0)
    assert first.policy.act(observation).shape == (1,)
    assert (
        esengine.evaluate(first, episodes=3).returns
        == esengine.evaluate(first.policy, episodes=3).returns
    )


def test_a_registered_environment_as_an_object_is_the_same_run_as_its_id(tmp_path: Path) -> None:
    env = gymnasium.make("CartPole-v1")
    results = [
        esengine.train("cma-es", each, run_dir=tmp_path / name, **COMMON)
        for name, each in (("id", "CartPole-v1"), ("object", env))
    ]
    same_run(tmp_path / "id", tmp_path / "object")
    assert results[0].final_return == results[1].final_return


def test_closures_and_callbacks_work_with_workers_and_give_the_same_run(tmp_path: Path) -> None:
    goal = 2.0

    def make() -> Corridor:
        return Corridor(goal)

    rows: dict[str, list[Any]] = {"one": [], "two": []}
    for name, workers in (("one", 1), ("two", 2)):
        esengine.train(
            "cma-es",
            make,
            run_dir=tmp_path / name,
            workers=workers,
            callbacks=[rows[name].append, lambda row: row["generation"] == 3],
            population_size=8,
            generations=50,
        )
    same_run(tmp_path / "one", tmp_path / "two")
    for name in rows:
        assert [row["generation"] for row in rows[name]] == [1, 2, 3]
        done = json.loads((tmp_path / name / "done.json").read_text())
        assert done["reason"] == "a callback ended it"
        assert done["final_return"] is not None


@pytest.mark.parametrize("workers", [1, 2])
def test_a_callback_that_raises_ends_the_run_with_a_checkpoint(
    tmp_path: Path, workers: int
) -> None:
    def prune(row: dict[str, Any]) -> None:
        if row["generation"] == 2:
            raise LookupError("pruned")

    with pytest.raises(LookupError, match="pruned"):
        esengine.train(
            "cma-es",
            "CartPole-v1",
            run_dir=tmp_path / "run",
            workers=workers,
            callbacks=[prune],
            population_size=8,
            generations=5,
        )
    assert not (tmp_path / "run" / "done.json").exists()
    assert (tmp_path / "run" / "checkpoints" / "000002").exists()
    assert RunDirectory.open(tmp_path / "run").starts()[-1]["outcome"] == "stopped"
    resumed = esengine.resume(tmp_path / "run", workers=workers, generations=6)
    assert resumed.finished
    assert [row["generation"] for row in resumed.metrics] == [1, 2, 3, 4, 5, 6]


def test_minimize_takes_a_lambda_on_workers_from_a_thread() -> None:
    found: list[Any] = []
    shift = 1.5

    def search() -> None:
        for workers in (1, 2):
            found.append(
                esengine.minimize(
                    lambda x: float(np.sum((x - shift) ** 2)),
                    [0.0, 1.0],
                    0.5,
                    workers=workers,
                    generations=20,
                )
            )

    thread = threading.Thread(target=search)
    thread.start()
    thread.join()
    assert found[0].best_value == found[1].best_value < 1e-2
    assert len(found[1].metrics) == found[1].generations == 20
    assert found[1].run_dir is None


def test_a_noisy_value_has_its_standard_error() -> None:
    def cost(x: Any, seed: int) -> float:
        return float(np.sum(x**2) + np.random.default_rng(seed).normal())

    result = esengine.minimize(cost, 2, generations=5, final_episodes=400)
    assert result.standard_error == pytest.approx(1 / 20, rel=0.2)
    assert "+-" in repr(result)
    assert esengine.minimize(lambda x: float(np.sum(x**2)), 2, generations=2).standard_error is None


def test_a_network_is_a_class_or_a_function(tmp_path: Path) -> None:
    nn = pytest.importorskip("torch").nn
    given: dict[str, Any] = {"env": "CartPole-v1", **COMMON}
    networks = (nn.Linear(4, 1), lambda shape, outputs: 3, lambda shape, n: nn.Linear(shape[0], n))
    for network, wrong in zip(networks, ("the class", "gave a int"), strict=False):
        with pytest.raises(UserError, match=f"^policy must be .*{wrong}"):
            esengine.train("cma-es", policy=network, run_dir=tmp_path / "wrong", **given)
    result = esengine.train("cma-es", policy=networks[-1], run_dir=tmp_path / "run", **given)
    assert result.policy.act(np.zeros(4)) in (0, 1)
    assert esengine.resume(tmp_path / "run", generations=3, policy=networks[-1]).finished


def test_the_exception_of_an_objective_is_the_cause() -> None:
    def failing(x: Any) -> float:
        raise ZeroDivisionError("by hand")

    with pytest.raises(WorkerError) as raised:
        esengine.minimize(failing, 3)
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_errors_of_workers_arrive_as_messages(tmp_path: Path) -> None:
    def failing(x: Any) -> float:
        raise ZeroDivisionError("by hand")

    with pytest.raises(WorkerError, match="ZeroDivisionError: by hand"):
        esengine.minimize(failing, 3, workers=2)
    lock = threading.Lock()
    given: dict[str, Any] = {"dimension": 3, "workers": 2, "run_dir": tmp_path / "run"}
    with pytest.raises(UserError, match="must be picklable"):
        esengine.train("cma-es", objective=lambda x: float(lock.locked()), **given)
    assert not (tmp_path / "run").exists()


def test_another_process_needs_the_object_again(tmp_path: Path) -> None:
    script = f"""
import esengine
from esengine.errors import UserError
run = {str(tmp_path / "run")!r}
try:
    esengine.resume(run, generations=3)
except UserError as error:
    print(error)
def cost(x):
    return float((x**2).sum())
print(esengine.resume(run, objective=cost, generations=3))
"""
    esengine.train(
        "cma-es",
        objective=lambda x: float((x**2).sum()),
        dimension=2,
        minimize=True,
        generations=2,
        run_dir=tmp_path / "run",
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert "was a Python object, lambda" in result.stdout
    assert "RunResult(3 generations" in result.stdout, result.stderr


def test_interrupts_leave_a_checkpoint_and_a_sentence(tmp_path: Path) -> None:
    def interrupt(row: dict[str, Any]) -> None:
        if row["generation"] == 2:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Stopped, match=r"resume with: esengine.resume\('.*run'\)"):
        esengine.train(
            "cma-es",
            "CartPole-v1",
            population_size=8,
            generations=50,
            callbacks=[interrupt],
            run_dir=tmp_path / "run",
        )
    assert signal.getsignal(signal.SIGINT) is before
    assert esengine.load_run(tmp_path / "run").generations >= 2

    rows: list[Any] = []
    with pytest.raises(KeyboardInterrupt) as stopped:
        esengine.minimize(
            lambda x: float((x**2).sum()), 2, callbacks=[rows.append, interrupt], generations=50
        )
    assert isinstance(stopped.value, Stopped)
    assert stopped.value.result is not None
    assert stopped.value.result.best_value is not None


def test_experts_and_rules_are_functions_and_settings_are_dictionaries(tmp_path: Path) -> None:
    gain = 0.1
    given: dict[str, Any] = {"episodes": 2, "max_episode_steps": 5}
    recorded = esengine.collect(
        "Pendulum-v1", expert=lambda o: np.array([-gain * o[2]], np.float32), **given
    )
    ruled = esengine.collect(
        "Pendulum-v1",
        rules=(lambda o: True, lambda o: np.array([-gain * o[2]], np.float32)),
        **given,
    )
    assert [one.num_steps for one in recorded.trajectories] == [5, 5]
    np.testing.assert_array_equal(recorded.trajectories[0].actions, ruled.trajectories[0].actions)
    result = esengine.train(
        "cma-es",
        "Pendulum-v1",
        env_arg={"g": 5.0},
        max_episode_steps=5,
        run_dir=tmp_path / "run",
        **COMMON,
    )
    assert result.run is not None
    assert result.run.config().train.env_arguments() == {"g": 5.0}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_begins_from_demonstrations_and_policies_that_are_objects(
    tmp_path: Path, workers: int
) -> None:
    pytest.importorskip("torch", reason="needs the extra [torch]")
    demonstrations = esengine.collect(
        "Pendulum-v1", expert="examples.pendulum:swing_up", episodes=2, max_episode_steps=9
    )
    given: dict[str, Any] = {"generations": 1, "final_episodes": 1, "workers": workers}
    cloned = esengine.train(
        "behavior-cloning", demonstrations=demonstrations, run_dir=tmp_path / "cloned", **given
    )
    assert cloned.policy is not None
    begun = esengine.train(
        "cma-es",
        "Pendulum-v1",
        init_policy=cloned.policy,
        sigma=1e-9,
        run_dir=tmp_path / "b",
        **given,
    )
    np.testing.assert_allclose(begun.parameters, cloned.parameters, atol=1e-6)
    assert esengine.resume(cloned, generations=2).generations == 2


def test_a_result_shows_itself(tmp_path: Path) -> None:
    result = esengine.train("cma-es", "CartPole-v1", run_dir=tmp_path / "run", **COMMON)
    assert repr(result).startswith("RunResult(2 generations, final_return=")
    assert len(repr(result)) < 300
    assert "<img" in result._repr_html_()
    assert result.run_dir == tmp_path / "run"
    assert esengine.load_run(tmp_path / "run").final_return == result.final_return
    assert [row["generation"] for row in result.metrics] == [1, 2]


def test_a_policy_acts_in_microseconds(tmp_path: Path) -> None:
    policy = esengine.train("cma-es", "CartPole-v1", run_dir=tmp_path / "run", **COMMON).policy
    observation = np.zeros(4, np.float32)
    actions = {policy.act(observation) for _ in range(10)}
    assert len(actions) == 1
    flat = np.ones(4, np.float32)
    assert policy.act(flat) == policy.act(flat.tolist()) == policy.actor().act(flat)


def test_signatures_and_names_are_complete() -> None:
    for function in (esengine.train, esengine.minimize, esengine.evaluate, esengine.collect):
        names = inspect.signature(function).parameters
        assert {"workers", "seed"} < set(names)
    assert "max_env_steps" in inspect.signature(esengine.train).parameters
    assert "max_env_steps" in inspect.signature(esengine.resume).parameters
    assert {"train", "minimize", "resume", "load_run"} < set(dir(esengine))


def test_progress_is_shown_where_it_is_watched(capsys: pytest.CaptureFixture[str]) -> None:
    esengine.minimize(lambda x: float((x**2).sum()), 2, generations=3)
    assert capsys.readouterr().out == ""
    esengine.minimize(lambda x: float((x**2).sum()), 2, generations=3, quiet=False)
    assert "in memory" in capsys.readouterr().out
