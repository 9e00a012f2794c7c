"""The notebooks run from top to bottom in a kernel, with progress, an interrupt, and a resumed run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY

NOTEBOOKS = REPOSITORY / "examples" / "notebooks"


def executed(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The code cells of a notebook after it was run in a folder."""
    nbclient = pytest.importorskip("nbclient", reason="needs the extra [dev]")
    nbformat = pytest.importorskip("nbformat")
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, timeout=120, resources=resources).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cell: Any) -> str:
    """Everything that a cell shows as text or HTML."""
    parts = []
    for output in cell.outputs:
        data = output.get("data", {})
        parts += [output.get("text", ""), data.get("text/html", ""), data.get("text/plain", "")]
    return "\n".join(parts)


def test_the_first_notebook_minimises_and_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = executed("first_search.ipynb", tmp_path, monkeypatch)
    assert "reached the target of 1e-08" in shown(cells[0])
    assert "image/png" in cells[2].outputs[0]["data"]
    assert "data:image/png" in shown(cells[3])  # the curve
    assert "CartPole-v1" in shown(cells[3])  # the panel


def test_the_second_notebook_uses_workers_and_resumes_after_an_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = executed("own_environment.ipynb", tmp_path, monkeypatch)
    assert "class Network(nn.Module)" in cells[1].source
    assert "workers 2" in shown(cells[2])
    assert "resume with: esengine.resume('runs/interrupted')" in shown(cells[3])
    assert "True" in shown(cells[4])
    assert "image/png" in cells[5].outputs[0]["data"]
    assert "array([" in shown(cells[6])
