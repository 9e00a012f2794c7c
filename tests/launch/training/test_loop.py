"""The master's loop at awkward moments: what is interrupted is kept whole or not at all."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from esengine.launch.runs.result import RunResult
from esengine.launch.training.problem_from_settings import build_problem
from esengine.noise import NoiseTable, create_table
from esengine.pool.startup import open_rank_state
from esengine.ranks import StopRequest, World
from esengine.storage import checkpoints
from tests.support.runs import rows, same_run
from tests.support.training import CONFIG, METHODS, interrupted_at, training


class StopAfter(StopRequest):
    """A stop request that comes between two units of work."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self._left = units

    def __enter__(self) -> None:
        self._left -= 1
        if self._left < 0:
            self.received = "SIGUSR1"
        super().__enter__()


@pytest.mark.parametrize("method", METHODS)
def test_stops_at_any_units_of_work_do_not_change_a_byte(tmp_path: Path, method: str) -> None:
    """Stopped in open generations, in evaluations and in the final one, once or many times over,
    and resumed each time.
    """
    config = METHODS[method]
    assert training(tmp_path / "straight", config=config).run().finished
    number = itertools.count()

    @settings(max_examples=6, derandomize=True)
    @given(st.lists(st.integers(0, 60), min_size=1, max_size=6))
    def stopped_and_resumed(stops: list[int]) -> None:
        path = tmp_path / f"run{next(number)}"
        for units in stops:
            if training(path, config=config, stop=StopAfter(units)).run().finished:
                break
        assert training(path, config=config).run().finished
        same_run(tmp_path / "straight", path)

    stopped_and_resumed()


@pytest.fixture
def straight(tmp_path: Path) -> Path:
    assert training(tmp_path / "straight").run().finished
    return tmp_path / "straight"


@pytest.mark.parametrize("generation", [1, 3])
def test_a_stop_inside_tell_keeps_the_generation_open_with_all_its_results(
    tmp_path: Path, straight: Path, generation: int
) -> None:
    stopped = training(tmp_path / "run", {"tell": interrupted_at(generation)}).run()
    assert (stopped.finished, stopped.generations) == (False, generation - 1)
    assert checkpoints(tmp_path / "run" / "checkpoints")[-1].name == f"{generation - 1:06d}+000006"
    assert training(tmp_path / "run").run().finished
    same_run(straight, tmp_path / "run")


@pytest.mark.parametrize("evaluation", [1, 2, 3])
def test_a_stop_inside_an_evaluation_writes_no_row_twice(
    tmp_path: Path, straight: Path, evaluation: int
) -> None:
    for _ in range(2):  # stopped at the same evaluation twice
        result: RunResult = training(
            tmp_path / "run", {"policy_returns": interrupted_at(evaluation)}
        ).run()
        evaluation = 1
        assert not result.finished
    assert training(tmp_path / "run").run().finished
    assert [row["generation"] for row in rows(tmp_path / "run")] == [1, 2, 3, 4]
    same_run(straight, tmp_path / "run")


def test_a_damaged_newest_checkpoint_makes_room_for_whole_ones(
    tmp_path: Path, straight: Path
) -> None:
    (newest,) = checkpoints(straight / "checkpoints")
    (newest / "state.safetensors").write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="is damaged"):
        assert training(straight).run().finished
    (rebuilt,) = checkpoints(straight / "checkpoints")
    assert rebuilt.name == newest.name
    assert training(tmp_path / "again").run().finished
    same_run(straight, tmp_path / "again")


def test_a_finished_run_that_is_resumed_changes_nothing(straight: Path) -> None:
    before = {
        path.name: path.read_bytes()
        for path in straight.iterdir()
        if path.is_file() and path.name != "config.json"
    }
    assert training(straight).run().finished
    after = {
        path.name: path.read_bytes()
        for path in straight.iterdir()
        if path.is_file() and path.name != "config.json"
    }
    assert before == after


def test_the_table_of_a_rank_holds_the_runs_seed() -> None:
    problem = build_problem(CONFIG)
    noise = open_rank_state(World(), problem, 0, 16).noise
    assert isinstance(noise, NoiseTable)
    np.testing.assert_array_equal(noise.table, create_table(0, 16, problem.dimension, None).table)


def test_runs_of_other_seeds_are_compared_on_the_same_episodes_with_eval_seed(
    tmp_path: Path,
) -> None:
    def returns(seed: int, eval_seed: int | None) -> list[float]:
        config = replace(CONFIG, train=replace(CONFIG.train, seed=seed, eval_seed=eval_seed))
        loop = training(tmp_path / f"{seed}-{eval_seed}", config=config)
        return list(loop.policy_returns(loop.newest(), 5, "evaluation").returns)

    assert returns(1, 7) == returns(2, 7)
    assert returns(1, None) != returns(2, None)


def test_a_row_has_the_mean_length_of_its_episodes(straight: Path) -> None:
    steps = np.diff([0, *(row["env_steps"] for row in rows(straight))])
    episodes = np.diff([0, *(row["evaluations"] for row in rows(straight))])
    means = [row["episode_steps_mean"] for row in rows(straight)]
    assert means == list(steps / episodes)
    assert len(set(means)) > 1
