"""Policies are compared over the same starts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from esengine.errors import UserError
from esengine.launch.results.paired import difference
from tests.conftest import Run
from tests.support.words import words


def test_the_interval_of_a_difference_leaves_out_what_the_starts_share() -> None:
    random = np.random.default_rng(0)
    starts = 100 * random.standard_normal(200)
    found = difference(starts + 1 + 0.1 * random.standard_normal(200), starts)
    assert found.low < found.mean < found.high
    assert 0.9 < found.low < 1 < found.high < 1.1
    assert found.pairs == 200


def test_failed_episodes_leave_no_pairs() -> None:
    with pytest.raises(UserError, match="over the same starts, got 2 and 3 episodes"):
        difference([1.0, 2.0], [1.0, 2.0, 3.0])


def test_evaluate_compares_policies(esengine_here: Run, tmp_path: Path) -> None:
    for name, generations in (("first", 1), ("second", 4)):
        train = words(
            f"train cma-es --env-id CartPole-v1 --generations {generations} --workers 1 --quiet"
        )
        assert esengine_here(*train, "--run-dir", name).returncode == 0
    compared = esengine_here(
        *words("evaluate first second --episodes 20 --workers 1 --json compared.json")
    )
    assert compared.returncode == 0, compared.stderr
    assert "second - first: +" in compared.stdout
    assert "over 20 common starts" in compared.stdout

    record = json.loads((tmp_path / "compared.json").read_text())
    assert record["first"]["difference"]["mean"] == 0
    pairs = np.subtract(record["second"]["returns"], record["first"]["returns"])
    assert record["second"]["difference"]["mean"] == pytest.approx(pairs.mean())
    twice = esengine_here(*words("evaluate first first --workers 1"))
    assert "compares different policies" in twice.stderr
