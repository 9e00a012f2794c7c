"""Searches that run at the same time do not wait for each other, and no byte depends on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import esengine
from esengine.algorithms.evolution.running_search import MOST_AHEAD
from esengine.errors import Interrupted
from esengine.launch.training.searches_apart import SearchesApart
from esengine.launch.training.start_and_resume import resume
from esengine.pool import Pool, Submitted
from esengine.ranks import StopRequest
from tests.support.runs import rows, same_run


def rastrigin(x: np.ndarray) -> float:
    if x[0] > 4.9:
        raise ZeroDivisionError("the simulator diverged")
    return float(10 * x.size + np.sum(x**2 - 10 * np.cos(2 * np.pi * x)))


def trained(path: Path) -> Any:
    return esengine.train(
        "cma-es",
        objective=f"{__name__}:rastrigin",
        dimension=4,
        minimize=True,
        sigma=2.0,
        restarts="bipop",
        concurrent_searches=3,
        tolerance_fun=3.0,
        generations=40,
        keep_members=True,
        checkpoint_every=20,
        run_dir=path,
        workers=1,
    )


def members_of(path: Path) -> dict[str, np.ndarray]:
    """The kept members of a run, whose files end where it was stopped."""
    parts = [np.load(part) for part in sorted((path / "members").iterdir())]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0].files}


def test_searches_that_go_ahead_leave_the_bytes_of_searches_that_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert trained(tmp_path / "waiting").finished

    first_over, ahead, calls = Pool.first_over, [0], [0]

    def newest(self: Pool, submitted: Sequence[Submitted]) -> Submitted:
        """Whoever has just learned goes on, as far as it may."""
        calls[0] += 1
        if calls[0] == 70:
            raise Interrupted("a test")
        return first_over(self, [max(submitted, key=lambda each: each.work.version)])  # type: ignore[union-attr]

    state = SearchesApart.state

    def counted(self: SearchesApart) -> Any:
        ahead[0] = max(map(len, self._told.values()), default=0)
        return state(self)

    monkeypatch.setattr(Pool, "first_over", newest)
    monkeypatch.setattr(SearchesApart, "state", counted)
    assert not trained(tmp_path / "ahead").finished
    assert 1 < ahead[0] <= MOST_AHEAD
    monkeypatch.setattr(Pool, "first_over", first_over)
    assert resume(tmp_path / "ahead", {}, True, True, StopRequest()) == 0

    same_run(tmp_path / "waiting", tmp_path / "ahead")
    assert rows(tmp_path / "ahead")[-1]["restarts"] > 2
    failures = [(tmp_path / name / "failures.jsonl").read_bytes() for name in ("waiting", "ahead")]
    assert failures[0] == failures[1] != b""
    members = [members_of(tmp_path / name) for name in ("waiting", "ahead")]
    assert members[0].keys() == members[1].keys()
    for name, array in members[0].items():
        np.testing.assert_array_equal(members[1][name], array, err_msg=name)
