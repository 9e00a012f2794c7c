"""A search that the memory cannot hold is refused before it has a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from esengine.launch.settings.methods import settings_of
from esengine.launch.training import memory_need
from esengine.launch.training.memory_need import needed_bytes
from tests.conftest import Run
from tests.support.words import words


@pytest.mark.parametrize(
    ("method", "dimension", "other"), [("cma-es", 9000, "sep-cma-es"), ("lm-ma-es", 10**7, "fewer")]
)
def test_it_is_refused_in_one_sentence(
    esengine_here: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    dimension: int,
    other: str,
) -> None:
    monkeypatch.setattr(memory_need, "free_bytes", lambda: 3 << 30)
    ended = esengine_here(
        *words(f"train {method} --objective worlds:sphere --dimension {dimension} --minimize"),
        *words("--ranks 1 --run-dir run"),
    )
    assert ended.returncode == 2
    assert f"{method} with {dimension:,} parameters needs at least" in ended.stderr
    assert "got 3.0 GB that are free on" in ended.stderr
    assert f"use {other}" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_matrix_grows_with_the_square_and_all_else_in_proportion() -> None:
    for method, factor in (("cma-es", 4), ("pycma", 4), ("sep-cma-es", 2), ("openai-es", 2)):
        settings = settings_of(method)()
        small, large = (needed_bytes(method, settings, size) for size in (10**5, 2 * 10**5))
        assert large / small == pytest.approx(factor, rel=1e-3)
