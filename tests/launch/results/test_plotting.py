"""Plots say what the runs' rows say: groups, bands, axes, and files that are the same for the same
rows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import image

from esengine.algorithms import CMAESSettings, OpenAIESSettings
from esengine.errors import UserError
from esengine.launch.results.plotting.benchmarks import draw_profile, profile_of_file, read_figures
from esengine.launch.results.plotting.command import PlotSettings, plot
from esengine.launch.results.plotting.curves import band, draw_curves
from esengine.launch.results.plotting.runs import PlottedRun, by_task, find_runs
from esengine.launch.results.plotting.search import axis_lengths, draw_fitness
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.train_settings import TrainSettings
from esengine.storage import Checkpoint, save_checkpoint
from tests.conftest import Run
from tests.support.rows import curve_row
from tests.support.words import words


@pytest.fixture
def array(tmp_path: Path) -> Path:
    """A folder of three seeds of one search, one with another sigma, one of another method, and one
    that has not begun.
    """
    runs: list[tuple[int, Any, str]] = [(seed, CMAESSettings(), "cma-es") for seed in range(3)]
    runs += [(0, CMAESSettings(sigma=0.25), "cma-es"), (0, OpenAIESSettings(), "openai-es")]
    for index, (seed, settings, method) in enumerate(runs):
        train = TrainSettings(env_id="CartPole-v1", seed=seed, generations=10 + index)
        run = RunDirectory.create(
            tmp_path / "array" / str(index), RunConfig(method, train, settings)
        )
        for generation in range(1, 5 + index):
            run.metrics.add(curve_row(generation, 10.0 * generation + seed))
    RunDirectory.create(
        tmp_path / "array" / "waiting",
        RunConfig("cma-es", TrainSettings(env_id="x"), CMAESSettings()),
    )
    return tmp_path / "array"


def test_runs_that_differ_in_their_seed_alone_are_a_group_and_others_are_told_apart(
    array: Path,
) -> None:
    groups = by_task(find_runs((array,)))["CartPole-v1"]
    assert [(group.label, len(group.runs)) for group in groups] == [
        ("cma-es", 3), ("cma-es, sigma 0.25", 1), ("openai-es", 1)
    ]  # fmt: skip


def test_bands_are_the_statistics_of_the_seeds_where_all_have_values() -> None:
    xs = np.array([1.0, 2.0, 3.0])
    curves = [(xs, xs * 0 + 1), (xs, xs * 0 + 2), (xs[1:], xs[1:] * 0 + 6)]
    for kind, expected in (("range", (1, 2, 6)), ("quartiles", (1.5, 2, 4))):
        positions, *edges = band(curves, kind)  # type: ignore[arg-type]
        assert (positions[0], positions[-1]) == (2, 3)
        assert [edge[0] for edge in edges] == pytest.approx(expected)
    _, low, mean, high = band(curves, "confidence")
    assert mean[0] == pytest.approx(3)
    assert 1 <= low[0] < 3 < high[0] <= 6


@pytest.mark.parametrize(("x", "last"), [("steps", 400.0), ("evaluations", 32.0), ("hours", 0.04)])
def test_curves_show_the_median_of_the_seeds_over_the_axis_that_is_asked_for(
    array: Path, x: str, last: float
) -> None:
    figure = draw_curves(find_runs((array,)), x, None, "range")
    (axes,) = figure.axes
    line = next(line for line in axes.lines if line.get_label() == "cma-es (3 seeds)")
    assert line.get_xdata()[-1] == pytest.approx(last)  # type: ignore[index]
    assert line.get_ydata()[-1] == pytest.approx(41)  # type: ignore[index]


def test_many_lines_are_named_beside_the_curves_in_short_numbers(tmp_path: Path) -> None:
    for number in range(12):
        settings = CMAESSettings(sigma=0.1 + number / 7)
        train = TrainSettings(env_id="CartPole-v1", generations=2)
        run = RunDirectory.create(tmp_path / str(number), RunConfig("cma-es", train, settings))
        for generation in (1, 2):
            run.metrics.add(curve_row(generation, float(number)))
    (axes,) = draw_curves(find_runs((tmp_path,)), "steps", None, "range").axes
    legend = axes.get_legend()
    assert legend is not None
    assert legend.get_bbox_to_anchor().x0 > axes.bbox.x1
    labels = [text.get_text() for text in legend.get_texts()]
    assert len(set(labels)) == 12
    assert len({line.get_color() for line in axes.lines}) == 12
    assert max(map(len, labels)) < 25, labels


def test_panels_of_environments_show_the_same_thing(array: Path) -> None:
    """A task that was evaluated once has no curve of returns; then no task has one."""
    runs = find_runs((array,))
    once = RunDirectory.create(
        array / "once", runs[0].config.with_train(env_id="Pendulum-v1", run_dir=None)
    )
    for generation in range(1, 5):
        once.metrics.add(
            {**curve_row(generation, 1.0), "episode_return_eval": None if generation < 4 else 1.0}
        )
    other = PlottedRun(once.path, once.config(), once.columns())
    with pytest.warns(UserWarning, match=f"since {once.path} evaluated the policy less than twice"):
        figure = draw_curves([*runs, other], "steps", None, "range")
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == ["mean fitness of the population"] * 2


def test_the_parts_of_a_profile_have_colours_of_their_own() -> None:
    parts = (
        "rollouts",
        "waiting",
        "publish",
        "update",
        "evaluate_policy",
        "charts",
        "checkpoint",
        "other",
    )
    (axes,) = draw_profile({"run": dict.fromkeys(parts, 0.125)}).axes
    assert len({bar.get_facecolor() for bar in axes.patches}) == len(parts)


def test_a_cloud_of_fitness_is_the_rows_quantiles(array: Path) -> None:
    (axes,) = draw_fitness(find_runs((array / "0",)), "steps").axes
    widest = np.asarray(axes.collections[0].get_paths()[0].vertices)
    assert (widest[:, 1].min(), widest[:, 1].max()) == (7, 43)


def test_a_cloud_of_costs_has_their_sign(array: Path) -> None:
    function = {"env_id": None, "objective": "m:f", "dimension": 2, "minimize": True}
    config = find_runs((array / "0",))[0].config.with_train(**function, run_dir=None)
    run = RunDirectory.create(array / "cost", config)
    for generation in range(1, 5):
        run.metrics.add(curve_row(generation, 10.0 * generation))
    (axes,) = draw_fitness(find_runs((array / "cost",)), "steps").axes
    widest = np.asarray(axes.collections[0].get_paths()[0].vertices)
    assert (widest[:, 1].min(), widest[:, 1].max()) == (-43, -7)
    assert axes.get_ylabel() == "cost"


def test_axis_lengths_are_standard_deviations() -> None:
    def lengths(**state: Any) -> Any:
        return axis_lengths(
            Checkpoint(
                1, {f"strategy/{name}": np.array(value) for name, value in state.items()}, {}
            )
        )

    assert lengths(sigma=2.0, D=[1.0, 3.0]).tolist() == [6, 2]
    assert lengths(sigma=2.0, variances=[4.0, 1.0]).tolist() == [4, 2]
    assert lengths(deviations=[1.0, 5.0]).tolist() == [5, 1]
    assert lengths(mean=[0.0]) is None


def test_every_kind_of_picture_is_written_and_is_the_same_again(
    array: Path, tmp_path: Path
) -> None:
    save_checkpoint(
        array / "0" / "checkpoints", Checkpoint(4, {"strategy/deviations": np.ones(3)}, {}), 3
    )
    scaling = []
    for kind in ("strong", "weak"):
        for workers in (1, 2):
            name = f"{kind} scaling, CartPole-v1, 64 members, {workers} workers"
            scaling.append(
                {"name": name, "value": 9.0 * workers, "unit": "members/s", "ratio": 1.0}
            )
    (tmp_path / "scaling.json").write_text(json.dumps(scaling))
    (tmp_path / "profile.json").write_text(
        json.dumps([{"name": "rollouts", "value": 1.0, "unit": "of the time", "ratio": 1.0}])
    )
    cases: list[tuple[tuple[Path, ...], str]] = [
        ((array / "0",), kind) for kind in ("steps", "spectrum", "fitness", "profile")
    ]
    cases += [
        ((array,), "auto"),
        ((tmp_path / "scaling.json",), "auto"),
        ((tmp_path / "profile.json", array / "0"), "auto"),
    ]
    for paths, kind in cases:
        written = []
        for name in ("a.svg", "b.svg", "c.png"):
            plot(paths, PlotSettings(tmp_path / name, kind))  # type: ignore[arg-type]
            written.append((tmp_path / name).read_bytes())
        assert written[0] == written[1]
        assert written[0].startswith(b"<?xml")
        assert image.imread(tmp_path / "c.png").std() > 0.01


def test_what_cannot_be_drawn_is_told(array: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other.json").write_text('{"a": 1}')
    out = tmp_path / "a.png"
    for paths, settings, part in (
        ((), PlotSettings(out), "got none"),
        ((array,), PlotSettings(tmp_path / "a.jpg"), "must end in .png, .svg, .pdf"),
        ((array,), PlotSettings(tmp_path / "no" / "a.png"), "make the folder first"),
        ((array / "waiting",), PlotSettings(out), "must have ended a generation"),
        ((tmp_path / "empty",), PlotSettings(out), "holds no run"),
        ((array,), PlotSettings(out, y="speed"), "--y must be a figure"),
        ((array / "0",), PlotSettings(out, kind="spectrum"), "needs a checkpoint"),
        ((array / "0",), PlotSettings(out, kind="scaling"), "measure one first"),
        ((tmp_path / "other.json",), PlotSettings(out), "bench --json wrote"),
    ):
        with pytest.raises(UserError, match=part):
            plot(paths, settings)
    assert not out.exists()


def test_a_real_run_is_plotted_from_the_command_line(esengine_here: Run, tmp_path: Path) -> None:
    train = words("train cma-es --env-id CartPole-v1 --generations 3 --eval-every 1 --ranks 1")
    assert esengine_here(*train, "--run-dir", "run").returncode == 0
    assert (
        len(
            json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[0])[
                "fitness_quantiles"
            ]
        )
        == 7
    )
    drawn = esengine_here("plot", "run", "--kind", "spectrum", "--out", "spectrum.png")
    assert (drawn.returncode, drawn.stdout) == (0, "picture in spectrum.png\n")
    assert image.imread(tmp_path / "spectrum.png").std() > 0.01


def test_a_benchmarks_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [
        {
            "name": "rollouts",
            "value": 0.9,
            "unit": "of the time",
            "against": "1 s",
            "ratio": 0.9,
            "goal": None,
        }
    ]
    (tmp_path / "profile.json").write_text(json.dumps(rows))
    assert profile_of_file("profile.json", read_figures(tmp_path / "profile.json")) == {
        "rollouts": 0.9
    }
