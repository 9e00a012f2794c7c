"""Every command with every record of a run, damaged in every way: one sentence that names the file,
or what is damaged is left out.

A part of the table is tried; ``make fuzz`` sets ``ESENGINE_FUZZ``, which tries all of it.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from esengine.errors import UserError
from esengine.launch.runs.rows import PLAIN, decoded
from tests.conftest import Run
from tests.support.words import words

TRAIN = (
    "train cma-es --env-id CartPole-v1 --population-size 6 --hidden-sizes 2 --generations 2 "
    "--checkpoint-every 1 --final-episodes 1 --ranks 1 --quiet --run-dir"
)
FAST = ("status run", "watch run --once")
SLOW = (
    "report run --no-film --out page.html",
    "plot run --kind spectrum --out plot.png",
    "plot run --kind fitness --out plot.png",
    "resume run --generations 2 --ranks 1",
    "cancel run",
    "evaluate run --episodes 1 --ranks 1",
)
RECORDS = (
    *("config.json", "done.json", "metrics.jsonl", "failures.jsonl", "lock"),
    *("slurm/job.json", "checkpoints/000002/state.json"),
)
ALL = "ESENGINE_FUZZ" in os.environ
VALUES: tuple[Any, ...] = ([1], "x", {}, None, True, -1, 0.5, float("inf"), 10**400)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged") / "base"


@pytest.fixture
def run(base: Path, esengine_here: Run, tmp_path: Path) -> Path:
    """A finished run with all its records."""
    if not base.exists():
        ended = esengine_here(*words(TRAIN), base)
        assert ended.returncode == 0, ended.stderr
        (base / "slurm").mkdir()
        job = {"job": "12", "first_seed": None, "log": "12.log", "time": "2026"}
        (base / "slurm/job.json").write_text(json.dumps(job))
        failure = {"generation": 1, "member": 2, "purpose": "episode", "seed": 3, "error": "no"}
        (base / "failures.jsonl").write_text(json.dumps(failure) + "\n")
    shutil.copytree(base, tmp_path / "run")
    return tmp_path / "run"


def damages(image: bytes) -> Iterator[bytes]:
    """The bytes of a file: none, cut, flipped at several places, and of another kind."""
    yield from (b"", image[: len(image) // 2], image[:-3])
    for place in range(0, len(image), len(image) // 7 + 1):
        yield image[:place] + bytes([image[place] ^ 0x11]) + image[place + 1 :]
    yield from (b"[]", b"null", b"[" * 50_000, b'{"a": 1, "a": 2}', b"\xff\xfe\x00", b"1e400")


def other_types(value: Any, replacement: Any) -> Iterator[Any]:
    """A JSON value with one part of another type or value, for each part."""
    parts: list[Any] = []
    if isinstance(value, dict):
        parts = list(value)
    elif isinstance(value, list):
        parts = list(range(min(3, len(value))))
    for key in parts:
        for changed in (replacement, *other_types(value[key], replacement)):
            copy = value.copy()
            copy[key] = changed
            yield copy


def check(esengine_here: Run, command: str, what: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ended = esengine_here(*words(command))
    told = f"{command}, {what}: {ended.returncode} {ended.stderr}"
    assert ended.returncode in (0, 1, 2), told
    assert "Traceback" not in ended.stderr, told
    if ended.returncode == 2:
        assert ended.stderr.startswith("esengine: "), told
        assert ended.stderr.count("\n") == 1, told
        assert len(ended.stderr) < 800, told


def test_no_record_of_another_type_ends_what_shows_a_run(run: Path, esengine_here: Run) -> None:
    for name in ("config.json", "done.json", "slurm/job.json", "metrics.jsonl"):
        path = run / name
        whole = path.read_text()
        lines = whole.splitlines(keepends=True)
        value = json.loads(lines[-1] if name.endswith("l") else whole)
        value.pop("config", None)  # its settings have checks, and tests, of their own
        settings = json.loads(whole)["config"] if name == "config.json" else None
        number = 0
        for replacement in VALUES:
            for changed in other_types(value, replacement):
                number += 1
                if number % 11 and not ALL:  # each of them takes its turn
                    continue
                if settings is not None:
                    changed["config"] = settings
                text = json.dumps(changed)
                path.write_text("".join(lines[:-1]) + text + "\n" if name.endswith("l") else text)
                for command in (*FAST, *(SLOW if ALL and number % 11 == 0 else ())):
                    check(esengine_here, command, f"{name} is {text[:300]}")
        path.write_text(whole)


@pytest.mark.parametrize("name", RECORDS)
def test_no_damage_ends_a_command(run: Path, esengine_here: Run, name: str) -> None:
    path = run / name
    whole = path.read_bytes()
    for number, image in enumerate(damages(whole)):
        path.write_bytes(image)
        slow = [SLOW[number // 5 % len(SLOW)]] if number % 5 == 0 else []
        for command in (*FAST, *(SLOW if ALL else slow)):
            check(esengine_here, command, f"{name} is {image[:300]!r}")
        if not (run / "checkpoints/000001").exists() or not path.parent.exists():
            pytest.fail("a command has removed what is whole")
        path.write_bytes(whole)


def _removed(path: Path) -> None:
    path.unlink()


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


@pytest.mark.parametrize("damage", [_removed, _folder, _link])
def test_what_cannot_be_read_ends_no_command(
    run: Path, esengine_here: Run, damage: Callable[[Path], None]
) -> None:
    for number, name in enumerate(RECORDS):
        whole = (run / name).read_bytes()
        damage(run / name)
        for command in (*FAST, *(SLOW if ALL else [SLOW[number % len(SLOW)]])):
            check(esengine_here, command, f"{name}: {damage.__name__}")
        if (run / name).is_dir():
            (run / name).rmdir()
        (run / name).unlink(missing_ok=True)
        (run / name).write_bytes(whole)


def test_a_damaged_neighbour_is_left_out(run: Path, esengine_here: Run, tmp_path: Path) -> None:
    array = tmp_path / "array"
    for name in ("seed-0", "seed-1", "seed-old", "seed-"):
        shutil.copytree(run, array / name)
        shutil.rmtree(array / name / "slurm")
    (array / "slurm").mkdir()
    job = {"job": "12", "first_seed": 0, "log": "x", "time": "2026"}
    (array / "slurm/job.json").write_text(json.dumps(job))
    (array / "seed-0/config.json").write_text('{"format": 1, "config": {}, "starts": 5}')

    with pytest.warns(UserWarning, match=r"seed-0/config.json must be .*left out"):
        status = esengine_here("status", "array", COLUMNS="250")
    assert status.returncode == 0, status.stderr
    assert "damaged" in status.stdout
    assert status.stdout.count("2 of 2") == 1
    with pytest.warns(UserWarning, match="left out"):
        plot = esengine_here("plot", "array", "--out", "plot.png")
    assert plot.returncode == 0, plot.stderr


def test_a_refusal_names_the_file_and_the_field(run: Path, esengine_here: Run) -> None:
    record = json.loads((run / "config.json").read_text())
    record["starts"][0]["workers"] = "x"
    (run / "config.json").write_text(json.dumps(record))
    ended = esengine_here("resume", "run", "--generations", "3")
    assert ended.stderr == (
        "esengine: run/config.json must be a whole record, but: Expected `int`, got `str` - at "
        "`starts[0].workers`; restore it from a copy\n"
    )


def test_a_line_without_an_end_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with path.open("wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(UserError, match="it has a line of more than 1048576 bytes; move it away"):
        list(decoded(path, PLAIN))
