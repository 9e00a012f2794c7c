"""The simulation of larger machines, on cases whose answer is known."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import dispatch
from benchmarks.ranks import draw_lengths
from benchmarks.simulation import (
    Costs,
    Faults,
    Simulation,
    evaluate,
    list_scheduling,
    publication_s,
    unit_lengths,
    update_s,
)
from tests.conftest import REPOSITORY
from tests.support.words import words

FREE = Costs()


def test_one_rank_takes_the_sum_of_the_lengths() -> None:
    lengths = draw_lengths("uniform", 0.1, 50)
    assert evaluate(lengths, 1, FREE).wall_s == pytest.approx(lengths.sum())
    assert list_scheduling(lengths, 1) == pytest.approx(lengths.sum())


@pytest.mark.parametrize(
    ("members", "workers", "rounds"), [(100, 10, 10), (101, 10, 11), (7, 10, 1)]
)
def test_constant_lengths_take_whole_rounds(members: int, workers: int, rounds: int) -> None:
    lengths = draw_lengths("constant", 0.1, members)
    assert list_scheduling(lengths, workers) == pytest.approx(0.1 * rounds)
    assert evaluate(lengths, workers + 1, FREE).wall_s == pytest.approx(0.1 * rounds)


def test_list_scheduling_gives_the_next_piece_to_the_first_that_is_free() -> None:
    assert (
        list_scheduling(np.array([3.0, 1.0, 1.0, 1.0, 2.0]), 2) == 5.0
    )  # 3 and 2 on one, 1 + 1 + 1 on the other


def test_without_overhead_and_with_one_worker_nothing_is_lost() -> None:
    lengths = draw_lengths("exponential", 0.1, 40)
    assert evaluate(lengths, 2, FREE).wall_s == pytest.approx(lengths.sum())


def test_without_overhead_and_without_a_second_unit_in_flight_it_is_list_scheduling() -> None:
    lengths = draw_lengths("exponential", 0.1, 200)
    simulation = Simulation(lengths, 20, FREE, Faults())
    simulation._todo._last = len(lengths)  # deals one at a time from the start
    assert simulation.run().wall_s == pytest.approx(list_scheduling(lengths, 20))


def test_a_slow_master_is_the_bound() -> None:
    lengths = draw_lengths("constant", 0.1, 1000)
    evaluated = evaluate(lengths, 101, Costs(master_s=0.01))
    assert evaluated.wall_s == pytest.approx(0.01 * 1000, rel=0.01)
    assert evaluated.master_busy_s == pytest.approx(0.01 * 1000)


def test_ranges_of_quick_members_relieve_a_slow_master() -> None:
    lengths = draw_lengths("constant", 1e-5, 16_000)
    assert evaluate(lengths, 11, Costs(master_s=1e-4)).master_busy_s < 0.1 * 1e-4 * 16_000


def test_units_of_failed_workers_are_done_again() -> None:
    lengths = draw_lengths("constant", 1.0, 300)
    faulty = Faults(failures_per_hour=360, respawn_s=1.0, seed=3)
    evaluated = evaluate(lengths, 11, FREE, faulty)
    assert evaluated.num_failures > 5
    assert evaluated.wall_s > evaluate(lengths, 11, FREE).wall_s
    assert evaluate(lengths, 11, FREE, Faults(failures_per_hour=1e-9)).wall_s == pytest.approx(30.0)


def test_all_workers_may_die_and_come_back() -> None:
    evaluated = evaluate(
        draw_lengths("constant", 1.0, 20), 3, FREE, Faults(failures_per_hour=3600, respawn_s=5.0)
    )
    assert evaluated.num_failures > 0
    assert evaluated.wall_s >= 10.0


def test_stragglers_hold_nobody_else_up() -> None:
    lengths = draw_lengths("constant", 1.0, 1000)
    slowed = evaluate(lengths, 101, FREE, Faults(stragglers=0.1, slowdown=2.0)).wall_s
    assert 10.0 < slowed <= 13.0


def test_a_publication_takes_longer_by_the_depth_of_the_tree() -> None:
    costs = Costs(publish_s=1.0, latency_s=0.5)
    times = [publication_s(nodes, 0.0, costs) for nodes in (1, 2, 5, 6, 21, 22)]
    assert times == [1.0, 2.0, 2.0, 3.0, 3.0, 4.0]


def test_units_are_the_engines() -> None:
    lengths = draw_lengths("uniform", 0.1, 40_000)
    units = unit_lengths(lengths)
    assert len(units) == 20_000
    assert units.sum() == pytest.approx(lengths.sum())


def test_an_update_is_divided_by_slices_of_coordinates() -> None:
    costs = Costs(products_per_s=1e6)
    assert update_s(100, 16_384, 1, costs) == pytest.approx(1.6384)
    assert update_s(100, 16_384, 5, costs) == pytest.approx(1.6384 / 4)
    assert update_s(100, 16_384, 500, costs) == pytest.approx(1.6384 / 4)  # there are four slices


def run_model(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.scaling_model",
        "--costs",
        str(folder / "costs.json"),
        *arguments,
    ]
    return subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_model_prints_a_table_and_draws_it(tmp_path: Path) -> None:
    names = (dispatch.MASTER_COST, dispatch.WORKER_COST, dispatch.PUBLISH_COST)
    (tmp_path / "costs.json").write_text(
        json.dumps([{"name": name, "value": 1e-5} for name in names])
    )
    result = run_model(
        tmp_path, *words("--ranks 2 40 --population-size 200 --png"), str(tmp_path / "scaling.png")
    )
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 1 + 2 * 3
    assert (tmp_path / "scaling.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("rows", "arguments", "says"),
    [
        ("[]", (), "has no row"),
        ("not json", (), "--costs must be what python -m benchmarks.dispatch --json wrote"),
        ("[]", ("--ranks", "0"), "--ranks must be numbers from 1"),
    ],
)
def test_bad_input_of_the_model_gets_one_sentence(
    tmp_path: Path, rows: str, arguments: tuple[str, ...], says: str
) -> None:
    (tmp_path / "costs.json").write_text(rows)
    result = run_model(tmp_path, *arguments)
    assert result.returncode == 2
    assert says in result.stdout + result.stderr
