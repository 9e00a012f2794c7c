"""A sample of `python -m tests.hostile`: the cases that once hung, or wrote and removed outside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.hostile.tries import COMMANDS, GIVEN, HEX, Stage, Try

PATIENCE_S = 120.0  # on a busy machine; what hangs hangs for ever
SAMPLE = (
    Try("policy", "checkpoints", "a link", COMMANDS["resume"]),
    Try("policy", f".aside-{HEX}-curve.png", "a link", COMMANDS["resume"]),
    Try("policy", "metrics.jsonl", "a pipe", COMMANDS["watch"]),
    Try("policy", "failures.jsonl", "a device", COMMANDS["status"]),
    Try("policy", "lock", "a hard link", COMMANDS["resume"]),
    Try("policy", "done.json", "a folder", COMMANDS["resume"]),
    Try("policy", "checkpoints/000002/state.json", "a pipe", COMMANDS["report"]),
    Try("point", "lower_bound.npy", "a pipe", COMMANDS["resume"]),
    Try("policy", "demos.npz", "a bomb", GIVEN["demos.npz"]),
    Try("policy", "minari/data/main_data.hdf5", "a pipe", GIVEN["minari/data/main_data.hdf5"]),
)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with TemporaryDirectory(prefix="esengine-hostile-") as folder:
        yield Stage(Path(folder))


@pytest.mark.parametrize("one", SAMPLE, ids=str)
def test_a_hostile_file_harms_nothing(stage: Stage, one: Try) -> None:
    assert stage.play(one, PATIENCE_S) == []
