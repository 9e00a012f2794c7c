"""A locale that knows no UTF-8, and names that it cannot decode."""

from __future__ import annotations

from pathlib import Path

from esengine.errors import ANY_TEXT, readable
from esengine.launch.results.plotting.benchmarks import draw_profile
from esengine.launch.results.plotting.figures import save
from tests.conftest import Run
from tests.support.words import words

PLAIN = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_every_text_can_be_read_and_written() -> None:
    undecoded = "grö→".encode().decode("ascii", "surrogateescape")
    assert readable(undecoded) == readable("grö→") == "grö→"
    assert readable("\ud83d\udcff") == "?\ufffd"
    assert f"{undecoded}ö→\ud83d".encode("ascii", ANY_TEXT) == "grö→".encode() + b"???"


def test_no_name_is_taken_for_a_formula(tmp_path: Path) -> None:
    name = "a$\\x$\udcff"
    figure = draw_profile({name: {"rollouts": 1.0}})
    figure.axes[0].set_title(name)
    save(figure, tmp_path / "profile.png")
    assert (tmp_path / "profile.png").stat().st_size > 1000


def test_a_run_with_any_name_works_in_plain_locales(esengine: Run, tmp_path: Path) -> None:
    (tmp_path / "größe.py").write_text("def cost(x):\n    return float(x @ x)\n")
    train = words("train cma-es --objective größe:cost --dimension 2 --minimize --generations 1")
    run = "läufe/→"
    begun = esengine(*train, "--ranks", "1", "--run-dir", run, **PLAIN, PYTHONIOENCODING="latin-1")
    assert (begun.returncode, begun.stderr) == (0, "")
    assert (tmp_path / run / "done.json").exists()

    page = esengine("report", run, "--out", "page.html", **PLAIN)
    assert (page.returncode, page.stderr) == (0, "")
    assert "cma-es on größe:cost" in (tmp_path / "page.html").read_text()

    more = ("resume", run, "--generations", "2", "--trust-modules", "--ranks", "1")
    resumed = esengine(*more)  # in the usual locale
    assert (resumed.returncode, resumed.stderr) == (0, "")
