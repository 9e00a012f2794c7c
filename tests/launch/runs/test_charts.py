"""The pictures of a run say what its rows say, also after a resume that goes back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from matplotlib import image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from esengine.launch.runs import charts
from tests.conftest import Run
from tests.support.words import words

ARGUMENTS = words("truncation-es --env-id CartPole-v1 --population-size 32 --eval-every 2")


@pytest.mark.parametrize(
    ("generations", "elapsed_s", "expected"),
    [(20, 9.0, False), (20, 11.0, True), (100_000, 60.0, False), (100_000, 120.0, True)],
)
def test_a_run_is_drawn_if_that_takes_a_small_part_of_its_time(
    generations: int, elapsed_s: float, expected: bool
) -> None:
    last = {"generation": generations, "machine": {"elapsed_s": elapsed_s}}
    assert charts.is_worth_drawing(last) == expected


def scalars(run: Path, tag: str) -> dict[int, float]:
    accumulator = EventAccumulator(str(run)).Reload()
    return {event.step: event.value for event in accumulator.Scalars(tag)}


def test_events_and_curve_follow_the_rows_through_a_resume(
    esengine_here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr(charts, "SHORT_RUN_S", 0.0)
    command = (
        "train",
        *ARGUMENTS,
        *words("--generations 3 --checkpoint-every 2 --ranks 1 --run-dir"),
        run,
    )
    assert esengine_here(*command).returncode == 0
    first = (run / "curve.png").read_bytes()
    shutil.rmtree(
        run / "checkpoints" / "000003"
    )  # so that the third generation is run, and logged, once more
    assert esengine_here("resume", run, "--generations", "5", "--ranks", "1").returncode == 0
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for tag, count in (("fitness_mean", 5), ("episode_return_eval", 2)):
        written = {row["generation"]: row[tag] for row in rows if tag in row}
        assert len(written) == count
        assert scalars(run, tag) == pytest.approx(written, rel=1e-6)
    assert list(scalars(run, "machine/steps_per_s")) == [1, 2, 3, 4, 5]
    assert (run / "curve.png").read_bytes() != first
    pixels = image.imread(run / "curve.png")
    assert pixels.shape == (540, 960, 4)
    colours = {tuple(colour) for colour in (pixels.reshape(-1, 4)[:, :3] * 255).round().astype(int)}
    assert {
        (214, 39, 40),
        (31, 119, 180),
    } <= colours  # the evaluated policy and the population's mean


def test_a_short_run_draws_no_curve(esengine_here: Run, tmp_path: Path) -> None:
    command = ("train", *ARGUMENTS, *words("--generations 1 --ranks 1 --run-dir run"))
    assert esengine_here(*command).returncode == 0
    assert not (tmp_path / "run" / "curve.png").exists()
    assert esengine_here("plot", "run", "--out", "curve.png").returncode == 0
