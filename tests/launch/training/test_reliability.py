"""The noise of fitness, measured by members that are evaluated twice in a generation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import esengine
from esengine.algorithms import CMAESSettings, OpenAIESSettings
from esengine.algorithms.evolution.reliability import Reliability
from esengine.candidates import RepeatedPopulation
from esengine.errors import UserError
from esengine.launch.training.start_and_resume import resume
from esengine.noise import CounterNoise
from esengine.ranks import StopRequest
from tests.support.runs import rows, same_run


def plane(x: np.ndarray, seed: int) -> float:
    """Of variance 4 in a population of sigma 1, and noise of variance 2."""
    return 2 * float(x[0]) + 2**0.5 * float(np.random.default_rng(seed).normal())


def tilted(x: np.ndarray, seed: int) -> float:
    """The seed moves all values alike, and says nothing about any ranking."""
    return 2 * float(x[0]) + 100 * float(np.random.default_rng(seed).normal())


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_planted_noise_is_measured(share: float) -> None:
    """Within 0.05 of the truth over 300 generations of 40 members."""
    draw = np.random.default_rng(0)
    found = []
    reliability = Reliability()
    for _ in range(300):
        true = np.sqrt(share) * draw.standard_normal(40)
        first, second = np.sqrt(1 - share) * draw.standard_normal((2, 40))
        repeated = np.array([3, 8, 21, 30])
        reliability.tell(true + first, repeated, (true + second)[repeated], common=False)
        assert reliability.value is not None
        found.append(reliability.value)
    assert np.mean(found[10:]) == pytest.approx(share, abs=0.05)


def test_a_run_reports_the_reliability_of_its_fitness(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"objective": f"{__name__}:plane", "dimension": 3, "generations": 80}
    esengine.train("openai-es", run_dir=tmp_path / "run", population_size=40, sigma=1.0, **settings)
    values = [row["reliability"] for row in rows(tmp_path / "run")]
    assert np.mean(values[10:]) == pytest.approx(4 / 6, abs=0.05)
    assert rows(tmp_path / "run")[-1]["evaluations"] == 80 * (40 + 4)


def test_a_shift_that_all_members_share_is_no_noise(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"objective": f"{__name__}:tilted", "dimension": 3, "generations": 5}
    esengine.train(
        "snes", run_dir=tmp_path / "run", episode_seeds="generation", population_size=30, **settings
    )
    assert rows(tmp_path / "run")[-1]["reliability"] == pytest.approx(1)


@pytest.mark.parametrize(
    "settings",
    [
        CMAESSettings(population_size=12),
        CMAESSettings(population_size=4, restarts="ipop", concurrent_searches=2),
        OpenAIESSettings(population_size=12),
    ],
)
def test_repeated_members_are_the_same_rows(settings: Any) -> None:
    candidates = settings.strategy(np.zeros(5), 3).ask()
    noise = CounterNoise()
    population = RepeatedPopulation.around(candidates, common=True)
    header, arrays = population.publish(None)
    once = RepeatedPopulation.receive(header, arrays, None, noise)
    received = RepeatedPopulation.receive(*once.shared(), None, noise)
    assert received.population_size == 14
    plain = candidates.rows(noise, 0, 12)
    np.testing.assert_array_equal(received.rows(noise, 0, 12), plain)
    np.testing.assert_array_equal(received.rows(noise, 12, 14), plain[population.repeated])
    np.testing.assert_array_equal(received.rows(noise, 11, 13)[1], plain[population.repeated[0]])
    assert received.members_per_start == 12


@pytest.mark.parametrize(
    ("method", "further"),
    [
        ("cma-es", {}),
        ("cma-es", {"restarts": "bipop", "concurrent_searches": 2, "tolerance_x": 0.1}),
        ("vkd-cma-es", {}),
        ("truncation-es", {"population_size": 20}),
    ],
)
def test_a_noisy_run_resumes_as_if_it_had_not_stopped(
    tmp_path: Path, method: str, further: dict[str, Any]
) -> None:
    settings: dict[str, Any] = {"objective": f"{__name__}:plane", "dimension": 3, **further}
    esengine.train(method, run_dir=tmp_path / "straight", generations=20, **settings)
    esengine.train(method, run_dir=tmp_path / "run", generations=9, **settings)
    resume(tmp_path / "run", {"generations": 20}, True, True, StopRequest())
    same_run(tmp_path / "straight", tmp_path / "run")


def test_noise_off_measures_nothing_and_keeps_the_population(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"objective": f"{__name__}:plane", "dimension": 3, "generations": 20}
    esengine.train("cma-es", run_dir=tmp_path / "run", noise="off", restarts="none", **settings)
    found = rows(tmp_path / "run")
    assert "reliability" not in found[0]
    assert {row["population_size"] for row in found} == {7}


def test_best_json_holds_a_mean_with_its_standard_error(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"objective": f"{__name__}:plane", "dimension": 3, "generations": 12}
    esengine.train("cma-es", run_dir=tmp_path / "run", final_episodes=400, **settings)
    best = json.loads((tmp_path / "run" / "best.json").read_text())
    assert best["evaluations"] == 400
    assert best["standard_error"] == pytest.approx(np.sqrt(2 / 400), rel=0.15)
    assert abs(best["value"] - 2 * best["point"][0]) < 4 * best["standard_error"]


def test_noise_of_a_fitness_that_is_no_return_is_refused() -> None:
    with pytest.raises(UserError, match="fitness is no return"):
        esengine.train("openai-es", env_id="CartPole-v1", noise="on", novelty="nsr")
