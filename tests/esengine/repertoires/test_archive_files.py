"""Archive files: what was saved is read, by a reader that runs no code."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

import esengine
from esengine.environments import EnvironmentSpec, describe
from esengine.errors import UserError
from esengine.policies import Policy, PolicySpec
from esengine.repertoires import Repertoire, load_archive, save_archive

POINTS = Repertoire(
    "grid",
    ("speed", "height"),
    ((0.0, 1.0), (-1.0, 1.0)),
    (4, 3),
    -1.0,
    np.array([1, 11]),
    np.array([2.0, 5.0]),
    np.array([[0.1, 0.0], [0.9, 0.9]]),
    np.array([1, 3]),
    np.array([[1.0, 2.0], [3.0, 4.0]]),
)


def of_policies() -> Repertoire:
    environment = EnvironmentSpec("CartPole-v1")
    with environment.opened() as env:
        observations, action = describe(env)
    spec = PolicySpec(observations.dim, action, ())
    rows = np.arange(2.0 * spec.num_parameters, dtype=np.float32).reshape(2, -1)
    scaling = (np.zeros(4, np.float32), np.ones(4, np.float32))
    policy = Policy(spec, rows[0], *scaling, environment)
    centroids = np.linspace(0, 1, 24).reshape(12, 2)
    return replace(
        POINTS, kind="cvt", shape=(12,), solutions=rows, centroids=centroids, policy=policy
    )


@pytest.mark.parametrize("archive", [POINTS, of_policies()], ids=["points", "policies"])
def test_a_saved_archive_is_read_back(tmp_path: Path, archive: Repertoire) -> None:
    save_archive(tmp_path / "archive.safetensors", archive)
    found = esengine.load_archive(tmp_path)
    for name in (field.name for field in fields(Repertoire) if field.name != "policy"):
        np.testing.assert_array_equal(getattr(found, name), getattr(archive, name))
    assert found.coverage == pytest.approx(2 / 12)
    assert found.qd_score == 9.0
    assert found.elite_of(found.coordinates(1)) == 1
    assert found.nearest([0.8, 1.0]) == found.best() == 1
    if archive.policy is not None:
        np.testing.assert_array_equal(found.policy_of(1).parameters, archive.solutions[1])


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ((0, 0), "got 0, 0, which is empty; for example 0,1"),
        ((4, 0), "which has 4, 3, got 4, 0"),
        ((1, 2, 3), "got 1, 2, 3"),
    ],
)
def test_a_cell_without_an_elite_is_refused(cell: tuple[int, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        POINTS.elite_of(cell)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cells": np.array([11, 1])}, "cells must be in ascending order"),
        ({"fitness": np.array([np.nan, 1.0])}, "fitness must be finite"),
        ({"measures": np.zeros((2, 3))}, "measures must be float64 of shape"),
        ({"evaluations": np.array([0, 1])}, "evaluations must be at least 1"),
        ({"ranges": ((1.0, 0.0), (0.0, 1.0))}, "ranges is invalid"),
        ({"shape": (1 << 20, 1 << 20)}, "shape is invalid"),
    ],
)
def test_a_damaged_archive_is_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    save_archive(tmp_path / "archive.safetensors", replace(POINTS, **changes))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=message):
        load_archive(tmp_path)
