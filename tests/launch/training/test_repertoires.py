"""Runs of quality diversity: they fill the archive of a problem whose elites are known, and their
files hold it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import esengine
from esengine.errors import UserError, WorkerError
from tests.support.runs import rows, same_run

CELLS = 8


def plane(points: Any) -> Any:
    """A cost of two variables that are the measures: the elite of a cell is its point nearest to
    the middle of the square.
    """
    return np.column_stack([np.sum((points - 0.5) ** 2, axis=1), points])


def known_score() -> float:
    """The QD score of the best possible archive, over the least useful fitness -1."""
    edges = np.linspace(0, 1, CELLS + 1)
    nearest = np.clip(0.5, edges[:-1], edges[1:])
    nearest[[0, -1]] = edges[1], edges[-2]
    costs = (nearest[:, None] - 0.5) ** 2 + (nearest[None] - 0.5) ** 2
    return float(np.sum(1 - costs))


def settings(method: str) -> dict[str, Any]:
    own: dict[str, Any] = {"sigma": 0.05} if method == "map-elites" else {"emitters": 3}
    shared = {"returns": ("cost", "m:x", "m:y"), "batch": 60, "minimize": True, "dimension": 2}
    archive = {"measure_ranges": (0, 1, 0, 1), "cells": (CELLS, CELLS), "least_fitness": -1}
    return {**shared, **archive, "population_size": 60, "objective": plane, **own}


@pytest.mark.parametrize("method", ["map-elites", "cma-me", "cma-mae"])
def test_an_archive_of_known_elites_is_filled(tmp_path: Path, method: str) -> None:
    path = tmp_path / "run"
    esengine.train(method, generations=60, run_dir=path, **settings(method))
    archive = esengine.load_archive(path)
    row = rows(path)[-1]
    assert (row["coverage"], row["elites"]) == (1.0, CELLS**2)
    assert row["qd_score"] == archive.qd_score
    assert 0.98 * known_score() < archive.qd_score <= known_score()
    assert archive.names == ("x", "y")
    values = -plane(archive.solutions)[:, 0]
    np.testing.assert_array_equal(archive.fitness, values)
    np.testing.assert_array_equal(archive.measures, archive.solutions)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"measure_ranges": (0, 1), "cells": (8,)},
            "measure_ranges must give two numbers for each",
        ),
        ({"measures": ("x", "z")}, "the measures must be columns m:name of returns.*got z"),
        ({"returns": ("cost", "m:x", "m:y", "g:z")}, "returns must name no constraints"),
    ],
)
def test_columns_that_are_no_measures_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    given = settings("map-elites") | changes
    with pytest.raises(UserError, match=message):
        esengine.train("map-elites", generations=1, run_dir=tmp_path / "run", **given)


def test_observations_are_not_normalised(tmp_path: Path) -> None:
    given: dict[str, Any] = {"behavior_indices": (0, 2), "measure_ranges": (-1, 1, -1, 1)}
    given |= {"generations": 1, "population_size": 8, "run_dir": tmp_path / "run"}
    with pytest.raises(UserError, match="normalize_observations must be off with map-elites"):
        esengine.train("map-elites", "CartPole-v1", normalize_observations=True, **given)


def tilted(points: Any) -> Any:
    """The plane where the middle has become the worst place, and the right edge the best one."""
    return np.column_stack([1 - points[:, 0], points])


@pytest.mark.parametrize("workers", [1, 3])
def test_trials_find_what_works_after_a_change_and_are_resumed(
    tmp_path: Path, workers: int
) -> None:
    learned = tmp_path / "learned"
    esengine.train("map-elites", generations=30, run_dir=learned, **settings("map-elites"))
    given: dict[str, Any] = {name: settings("map-elites")[name] for name in ("returns", "batch")}
    given |= {"objective": tilted, "dimension": 2, "minimize": True, "init_archive": learned}
    given |= {"population_size": 2, "enough": 1.0}
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    esengine.train("trial-and-error", generations=12, run_dir=straight, **given)
    esengine.train("trial-and-error", generations=3, run_dir=stopped, workers=workers, **given)
    (learned / "archive.safetensors").unlink()
    esengine.resume(stopped, generations=12, objective=tilted, workers=workers)
    same_run(straight, stopped)
    row = rows(straight)[-1]
    assert row["trials"] <= 24 < CELLS**2
    assert row["best_trial"] > -0.1  # the first trial, in the middle, has -0.5


def half_broken(point: Any) -> Any:
    """The plane of `tilted`, whose lower half ends in an exception."""
    if point[1] < 0.6:
        raise ZeroDivisionError("the simulator diverged")
    return tilted(point[None])[0]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_trial_that_raises_is_counted_and_the_search_goes_on(
    tmp_path: Path, workers: int
) -> None:
    learned, path = tmp_path / "learned", tmp_path / "run"
    esengine.train("map-elites", generations=10, run_dir=learned, **settings("map-elites"))
    given: dict[str, Any] = {"returns": ("cost", "m:x", "m:y"), "dimension": 2, "minimize": True}
    given |= {"init_archive": learned, "enough": 1.0, "objective": half_broken}
    esengine.train("trial-and-error", generations=12, workers=workers, run_dir=path, **given)
    found = rows(path)
    assert [row["trials"] for row in found] == list(range(1, 13))
    failed = [row["failed_members"] for row in found]
    assert failed[0] == 1  # a neighbour of the middle, which is the best elite
    assert 0 < sum(failed) < 12
    assert found[0]["best_trial"] is None
    assert found[-1]["best_trial"] > -1.0
    result = esengine.train("trial-and-error", generations=1, max_failed_fraction=1.0, **given)
    assert (result.best_value, result.best_point) == (None, None)
    with pytest.raises(WorkerError, match="the simulator diverged"):
        esengine.train("trial-and-error", generations=12, max_failed_fraction=0.0, **given)


def test_a_policy_of_an_archive_acts_as_it_was_saved(tmp_path: Path) -> None:
    given: dict[str, Any] = {"behavior_indices": (0, 2), "measure_ranges": (-1, 1, -1, 1)}
    given |= {"generations": 2, "population_size": 8, "run_dir": tmp_path / "learned"}
    esengine.train("map-elites", "CartPole-v1", hidden_sizes=(4,), cells=(4, 4), **given)
    archive = esengine.load_archive(tmp_path / "learned")
    path = tmp_path / "run"
    esengine.train(
        "trial-and-error",
        "CartPole-v1",
        init_archive=archive,
        generations=1,
        run_dir=path,
    )
    policy, elite = esengine.load_policy(path), archive.policy_of(archive.best())
    assert policy.spec == elite.spec
    np.testing.assert_array_equal(policy.parameters, elite.parameters)
    with pytest.raises(UserError, match="normalize_observations must be off"):
        esengine.train(
            "trial-and-error",
            "CartPole-v1",
            init_archive=tmp_path / "learned",
            normalize_observations=True,
            generations=1,
        )
    with pytest.raises(UserError, match="init_archive must fit Pendulum-v1"):
        esengine.train("trial-and-error", "Pendulum-v1", init_archive=tmp_path / "learned")
