"""Programs as objectives: what they read and write, and how they end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esengine.candidates import GivenPoints
from esengine.errors import MemberError, UserError
from esengine.launch.settings.programs import ProgramSettings
from esengine.problems import Columns, GeneralObjective, MembersFailed
from esengine.programs import Outputs, Program
from esengine.programs.child import cores_of_worker
from esengine.ranks.launch_variables import without_launch

POINT = np.array([0.1, 2.0])
NAMES = {"width": False, "layers": True}


def program(
    folder: Path,
    command: str,
    columns: tuple[str, ...] = ("cost",),
    time_out: float | None = None,
    **settings: Any,
) -> Program:
    """A program whose members have their folders in a test's."""
    made = ProgramSettings(scratch=folder, **settings).program(command, NAMES, columns, time_out)
    made.at(3, 7)
    return made


@pytest.mark.parametrize(
    ("command", "settings", "expected"),
    [
        ("cat {input}", {}, {"width": 0.1, "layers": 2}),
        ("echo {width} {layers:03d}", {}, [0.1, 2]),
        ("echo {threads} {layers}", {"threads_per_rank": 4}, [4, 2]),
    ],
)
def test_numbers_reach_the_program_exactly(
    tmp_path: Path, command: str, settings: dict[str, Any], expected: Any
) -> None:
    made = program(tmp_path, command, tuple(NAMES), output_file="stdout", **settings)
    assert made(POINT) == expected
    made.close()
    assert list(tmp_path.iterdir()) == []


def test_a_template_is_filled_and_an_npy_file_is_written(tmp_path: Path) -> None:
    deck = tmp_path / "deck.in"
    deck.write_text("w = {width:.3e}, set {{1}}\n")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    filled = program(scratch, "cp {input} {output}", template=(deck,), value=("/w = (\\S+),/",))
    assert filled(POINT) == {"cost": 0.1}
    numbers = program(
        scratch, "cp {input} {output}", ("a", "b"), input_file="x.npy", output_file="y.npy"
    )
    assert numbers(POINT) == [0.1, 2.0]
    for made in (filled, numbers):
        made.close()


@pytest.mark.parametrize(
    ("text", "places", "expected"),
    [
        ('{"a": [{"b": 3}], "c": 1}', ("a[0].b",), {"cost": 3}),
        ("drag = 1\ndrag = 2.5e-3\n", (r"/drag = (\S+)/",), {"cost": 2.5e-3}),
        ("4.5\n", (), 4.5),
        ('{"cost": 2, "other": 3}', (), {"cost": 2}),
    ],
)
def test_the_value_is_found_by_a_path_a_pattern_or_alone(
    tmp_path: Path, text: str, places: tuple[str, ...], expected: Any
) -> None:
    (tmp_path / "out").write_text(text)
    assert Outputs.parse("out", places, ("cost",)).read(tmp_path, tmp_path, ("cost",)) == expected


@pytest.mark.parametrize(
    ("text", "places", "message"),
    [
        ("{}", (), "out must have cost, lacks cost"),
        ('{"a": [1]}', ("a[1]",), r"must have a number at a\[1\], and has no \[1\]"),
        ("nothing", ("a",), "out must be JSON where --value is a path"),
        ("nothing", (r"/drag = (\S+)/",), "out must match /drag"),
        ("drag = high", (r"/drag = (\S+)/",), "must have a number at"),
        ("1 2 3", (), "must write cost into out, as a JSON table or as plain numbers, got 1 2 3"),
    ],
)
def test_an_output_without_the_value_is_one_sentence(
    tmp_path: Path, text: str, places: tuple[str, ...], message: str
) -> None:
    (tmp_path / "out").write_text(text)
    with pytest.raises(UserError, match=message):
        Outputs.parse("out", places, ("cost",)).read(tmp_path, tmp_path, ("cost",))


@pytest.mark.parametrize(
    ("command", "settings", "message"),
    [
        ("./nowhere {input}", {}, "--command must name a program that exists"),
        ("true {}", {}, "--command must name each placeholder, got {}"),
        ("true {height}", {}, "must have placeholders among folder, input, layers"),
        ("true {width:d}", {}, "whose form fits, got {width:d}"),
        ("true 'open", {}, "--command must be words as in a shell"),
        ("true", {"value": ("a..b=", "c")}, "--value must give each of cost once|--value must be"),
        ("true", {"value": (r"/no group/",)}, "a pattern with one group"),
        ("true", {"input_file": "deck.txt"}, "--input-file must be the name of a .json or .npy"),
        ("true", {"output_file": "../out"}, "--output-file must be the name of a file"),
    ],
)
def test_a_command_that_means_nothing_is_refused(
    tmp_path: Path, command: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        program(tmp_path, command, **settings)


def test_a_program_that_fails_leaves_its_folder_and_the_end_of_its_output(tmp_path: Path) -> None:
    made = program(tmp_path, "sh -c 'echo one; echo wrong mesh >&2; exit 3'")
    with pytest.raises(MemberError) as failed:
        made(POINT)
    made.close()
    message = str(failed.value)
    assert "sh ended with exit status 3\nstderr.txt ends with:\nwrong mesh" in message
    (kept,) = tmp_path.iterdir()
    assert f"its folder is kept in {kept} on " in message
    assert kept.name.endswith("generation-3-member-7-attempt-1")
    assert (kept / "input.json").read_text() == '{"width": 0.1, "layers": 2}\n'


def test_a_program_and_what_it_started_are_killed_when_their_time_is_over(tmp_path: Path) -> None:
    made = program(tmp_path, "sh -c 'sleep 300 & echo $! > ../pid; wait'", time_out=2.0)
    with pytest.raises(MemberError, match=r"it took longer than --member-timeout 2 s"):
        made(POINT)
    (root,) = tmp_path.glob("esengine-*")
    pid = int((root / "pid").read_text())
    state = Path(f"/proc/{pid}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"
    made.close()


def test_a_signal_that_ends_a_program_is_named(tmp_path: Path) -> None:
    made = program(tmp_path, "sh -c 'kill -SEGV $$'", keep_failed_folders=False)
    with pytest.raises(MemberError, match="was ended by SIGSEGV; it printed nothing"):
        made(POINT)
    made.close()
    assert list(tmp_path.iterdir()) == []


def test_members_of_a_problem_fail_without_a_traceback(tmp_path: Path) -> None:
    function = program(
        tmp_path, "sh -c 'test {layers} -lt 5 && echo {width}'", output_file="stdout"
    )
    columns = Columns.parse(("cost",), has_value=True)
    problem = GeneralObjective(function, 2, minimize=True, columns=columns)
    points = np.array([[1.0, 2.0], [1.0, 7.0]])
    with pytest.raises(MembersFailed) as failed:
        problem.evaluate(GivenPoints(0, 4, 2, points), 0, points)
    function.close()
    assert failed.value.records["fitness"][0] == -1
    (failure,) = failed.value.failures
    assert (failure["generation"], failure["member"]) == (4, 1)
    assert "Traceback" not in failure["error"]


def test_no_variable_of_a_launcher_or_of_slurm_reaches_a_program() -> None:
    launch = {"OMPI_COMM_WORLD_SIZE": "4", "PMIX_RANK": "1", "SLURM_JOB_ID": "7", "PMI_SIZE": "2"}
    kept = {"PATH": "/bin", "OMPI_ALLOW_RUN_AS_ROOT": "1"}
    assert without_launch(launch | kept) == kept


def test_each_worker_has_cores_of_its_own() -> None:
    assert [cores_of_worker(index, 2, range(5)) for index in range(3)] == [[0, 1], [2, 3], None]
    assert os.sched_getaffinity(0)
