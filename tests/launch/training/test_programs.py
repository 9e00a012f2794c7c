"""Runs whose members are starts of a program: one in C, built here, and one of two MPI ranks."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Run
from tests.support.launches import run_all
from tests.support.runs import same_run
from tests.support.words import words

PLACES = (r"mass=/^mass = (\S+)/", r"stress=/stress_margin = (\S+)/", r"bend=/bend_margin = (\S+)/")
BEAM = (
    *words("train cma-es --variables beam.toml --template beam.in --output-file stdout"),
    *("--command", "./beam {input}", "--minimize", "--returns", "mass", "g:stress", "g:bend"),
    *("--value", *PLACES, "--sigma", "0.2", "--generations", "6"),
)


@pytest.fixture
def beam(tmp_path: Path) -> Path:
    """A folder with the program, its template and its variables."""
    for name in ("beam.toml", "beam.in"):
        shutil.copy(REPOSITORY / "examples" / name, tmp_path)
    source = REPOSITORY / "examples" / "beam.c"
    build = ["cc", "-O1", "-o", str(tmp_path / "beam"), str(source), "-lm"]
    subprocess.run(build, check=True)
    (tmp_path / "scratch").mkdir()
    return tmp_path


def test_a_program_gives_the_same_run_on_ranks_and_after_a_resume(
    esengine_here: Run, beam: Path
) -> None:
    scratch = ("--scratch", str(beam / "scratch"))
    result = esengine_here(*BEAM, *scratch, *words("--ranks 1 --run-dir alone"))
    assert result.returncode == 0, result.stderr
    begun = (*BEAM, *scratch, *words("--generations 3 --run-dir other"))
    resumed = words("resume other --generations 6 --trust-modules")
    run_all([begun, resumed], 3, beam)
    same_run(beam / "alone", beam / "other")
    assert list((beam / "scratch").iterdir()) == []

    best = json.loads((beam / "alone" / "best.json").read_text())
    assert list(best["variables"]) == ["width", "root", "tip"]
    assert set(best["columns"]) == {"stress", "bend"}


def test_a_run_that_names_a_program_needs_consent_and_notices_another_one(
    esengine_here: Run, beam: Path
) -> None:
    assert esengine_here(*BEAM, *words("--ranks 1 --run-dir run")).returncode == 0
    refused = esengine_here(*words("resume run --generations 7"))
    assert refused.returncode == 2
    assert "names the program" in refused.stderr
    assert "add --trust-modules" in refused.stderr

    (beam / "beam.in").write_text((beam / "beam.in").read_text() + "\n")
    with pytest.warns(UserWarning, match=r"since the code of --command .*beam.in.* has changed"):
        esengine_here(*words("resume run --generations 7 --trust-modules --ranks 1"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--command", "./nowhere"), "--command must name a program that exists"),
        (("--command", "./beam {}"), "--command must name each placeholder, got {}"),
        (("--command", "./beam {input}", "--value", "mass=/weight = (.*)/", *PLACES[1:]),
         "its standard output must match /weight = (.*)/"),
        (("--command", "./beam {input}", "--dimension", "3"), "--dimension belongs to runs without"),
        (("--command", "./beam {input}", "--objective", "worlds:sphere"), "got worlds:sphere, "),
    ],
)  # fmt: skip
def test_a_program_that_does_not_fit_is_refused_in_one_sentence(
    esengine_here: Run, beam: Path, arguments: tuple[str, ...], message: str
) -> None:
    start = [word for word in BEAM if word not in ("--command", "./beam {input}")]
    if "--value" in arguments:
        start = start[: start.index("--value")] + start[start.index("--value") + 4 :]
    result = esengine_here(*start, *arguments, *words("--ranks 1 --run-dir run"))
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a]\nlower = 2\nupper = 1", "a lower bound below the upper one, got 2 and 1 for a"),
        ("[a]\nlow = 2", "got low for a; did you mean lower?"),
        ("[a]\nkind = 'whole'", "must have kinds among real, integer, fixed, got 'whole' for a"),
        ("[a]\nkind = 'fixed'", "must give a value to fixed variables"),
        ("[a]\nlower = 1", "must have a start within the bounds 1 and inf, got 0 for a"),
        ("a = 1", "must have a table for each variable, got a"),
        ("[a]\nscale = 0", "must have positive scales, got 0 for a"),
        ("", "must describe variables, got none"),
    ],
)
def test_variables_that_make_no_space_are_refused(
    esengine_here: Run, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "space.toml").write_text(text)
    start = words("train cma-es --objective worlds:sphere --variables space.toml --ranks 1")
    result = esengine_here(*start)
    assert result.returncode == 2
    assert message in result.stderr


RANKS = """
import json, sys
from mpi4py import MPI

comm = MPI.COMM_WORLD
given = json.load(open(sys.argv[1]))
part = given["x0"] ** 2 if comm.rank == 0 else (given["x1"] - 1) ** 2
total = comm.allreduce(part)
if comm.rank == 0:
    json.dump({"value": total, "ranks": comm.size}, open(sys.argv[2], "w"))
"""


def test_a_program_of_two_mpi_ranks_runs_within_a_worker(esengine: Run, tmp_path: Path) -> None:
    (tmp_path / "sim.py").write_text(RANKS)
    mpirun = Path(sys.prefix) / "bin" / "mpirun"
    command = f"{mpirun} -n 2 --oversubscribe {sys.executable} sim.py {{input}} {{output}}"
    start = words("train cma-es --dimension 2 --minimize --generations 1 --population-size 4")
    columns = words("--returns value m:ranks --ranks 2 --threads-per-rank 1 --run-dir run")
    result = esengine(*start, "--command", command, *columns)
    assert result.returncode == 0, result.stdout + result.stderr
    assert json.loads((tmp_path / "run" / "best.json").read_text())["columns"] == {"ranks": 2}
