"""Methods are compared over seeds, and a comparison continues where it was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from esengine.errors import UserError
from esengine.launch.results.comparison import interquartile_mean, summary
from esengine.launch.settings.seeds import seeds_of
from tests.conftest import Run
from tests.support.words import words


def test_seeds_are_ranges_and_lists() -> None:
    assert seeds_of("0-2,7") == [0, 1, 2, 7]
    for wrong in ("2-0", "a", "", "1-"):
        with pytest.raises(UserError, match="--seeds must be such as 0-4"):
            seeds_of(wrong)


def test_the_interquartile_mean_leaves_the_ends_out() -> None:
    assert interquartile_mean([0, 1, 2, 1000]) == 1.5
    assert interquartile_mean([3.0]) == 3.0
    found = summary(np.arange(40.0))
    assert found.low < found.iqm == 19.5 < found.high


def test_compare_trains_draws_and_continues(esengine_here: Run, tmp_path: Path) -> None:
    shared = words(
        "-- --env-id CartPole-v1 --generations 2 --population-size 8 --workers 1 --quiet"
    )
    first = esengine_here(*words("compare snes --seeds 0 --out compared"), *shared)
    assert first.returncode == 0, first.stderr
    before = (tmp_path / "compared" / "snes-0" / "done.json").stat().st_mtime_ns

    both = esengine_here(*words("compare snes cma-es --seeds 0,1 --out compared"), *shared)
    assert both.returncode == 0, both.stderr
    assert (tmp_path / "compared" / "snes-0" / "done.json").stat().st_mtime_ns == before
    assert "method" in both.stdout
    found = json.loads((tmp_path / "compared" / "results.json").read_text())
    assert {name: len(one["results"]) for name, one in found.items()} == {"snes": 2, "cma-es": 2}
    assert (tmp_path / "compared" / "curves.png").stat().st_size > 1000
    lines = (tmp_path / "compared" / "commands.sh").read_text().splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("esengine train snes --env-id CartPole-v1")

    wrong = esengine_here(*words("compare snes --out compared"))
    assert "the flags of train after two dashes" in wrong.stderr
