"""What people see of an archive: its picture, its figures, the film and the file of an elite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import esengine
from esengine.errors import UserError
from esengine.launch.results.exporting.export import ExportSettings, export
from esengine.launch.results.plotting.command import PlotSettings, plot
from esengine.launch.results.rendering import RenderSettings, render
from esengine.launch.results.reporting.report import ReportSettings, report
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.terminal.panel import Display
from tests.support.runs import rows


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that gathered policies of CartPole by where the cart and the pole end."""
    path = tmp_path_factory.mktemp("archives") / "run"
    esengine.train(
        "map-elites",
        "CartPole-v1",
        behavior_indices=(0, 2),
        measure_ranges=(-2.5, 2.5, -0.3, 0.3),
        cells=(8, 8),
        population_size=24,
        sigma=0.5,
        reevaluate=4,
        generations=4,
        eval_every=0,
        run_dir=path,
    )
    return path


def test_the_picture_the_page_and_the_panel_show_the_archive(walked: Path, tmp_path: Path) -> None:
    plot((walked,), PlotSettings(tmp_path / "archive.png", "archive"))
    assert (tmp_path / "archive.png").stat().st_size > 10_000
    report(walked, ReportSettings(tmp_path / "run.html", film=False))
    page = (tmp_path / "run.html").read_text()
    assert "Archive: the elite of every cell" in page
    assert "QD score" in page

    display = Display(RunDirectory.open(walked).config().with_train(quiet=True), walked)
    row = rows(walked)[-1] | {"machine": {}}
    display(row)
    assert f"coverage {row['coverage']:.1%}" in display.line()
    assert f"corrected {row['corrected_qd_score']:.6g}" in display.line()


def test_an_elite_is_filmed_and_written_by_its_cell(walked: Path, tmp_path: Path) -> None:
    archive = esengine.load_archive(walked)
    cell = ",".join(map(str, archive.coordinates(0)))
    film = render(walked, RenderSettings(tmp_path / "elite.gif", seconds=0.2, cell=cell))
    assert film.episodes[0].num_steps > 0
    for chosen, elite in ((cell, 0), ("best", archive.best())):
        out = tmp_path / "elite.safetensors"
        export(walked, ExportSettings("policy", out, chosen))
        policy = esengine.load_policy(out)
        np.testing.assert_array_equal(policy.parameters, archive.solutions[elite])
    for chosen, message in (("x", "--cell must be the numbers of a cell"), ("9,9", "give a cell")):
        with pytest.raises(UserError, match=message):
            export(walked, ExportSettings("policy", out, chosen))
