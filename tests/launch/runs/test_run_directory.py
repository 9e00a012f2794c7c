"""One writer a run directory, and records that survive a crash."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esengine.algorithms import CMAESSettings
from esengine.errors import UserError
from esengine.launch.runs import columns as columns_module, metrics_file
from esengine.launch.runs.columns import Columns, thinned
from esengine.launch.runs.metrics_file import MetricsFile
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.runs.run_lock import Owner, RunLock, wait_until_free
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.train_settings import TrainSettings
from tests.conftest import Run
from tests.support.words import words

CONFIG = RunConfig("cma-es", TrainSettings(objective="worlds:sphere", dimension=3), CMAESSettings())
HOLDER = """
import sys, time
from pathlib import Path
from esengine.launch.runs.run_lock import RunLock
if sys.argv[2] == "file":
    RunLock._take_flock = lambda *arguments: False
lock = RunLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def row(generation: int) -> dict[str, Any]:
    return {
        "generation": generation,
        "env_steps": 0,
        "evaluations": generation,
        "fitness_mean": 0.1,
        "machine": {},
    }


@pytest.fixture(params=["flock", "file"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file system with flock, and one without."""
    if request.param == "file":

        def refuse(descriptor: int, operation: int) -> None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

        monkeypatch.setattr(fcntl, "flock", refuse)
    return str(request.param)


@pytest.fixture
def holder(tmp_path: Path, kind: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path), kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_writer_is_refused_until_the_first_is_killed(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(
        UserError, match=rf"is held by process {holder.pid} on .*; wait for it or stop it"
    ):
        RunLock(tmp_path)
    os.kill(holder.pid, signal.SIGSTOP)  # neither does a writer that sleeps lose it
    with pytest.raises(UserError, match="one writer"):
        RunLock(tmp_path)
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    lock = RunLock(tmp_path)
    assert lock.is_held()
    lock.release()
    RunLock(tmp_path).release()
    assert not [path for path in tmp_path.iterdir() if path.name != "lock"]


FORKING = """
import os, sys, time
from pathlib import Path
from esengine.launch.runs.run_lock import RunLock
lock = RunLock(Path(sys.argv[1]))
if os.fork() == 0:
    print(os.getpid(), flush=True)
    time.sleep(60)
os.kill(os.getpid(), 9)
"""


def test_a_child_that_outlives_a_killed_writer_does_not_keep_the_lock(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FORKING, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            process.wait()
            RunLock(tmp_path).release()
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_child_that_is_handed_the_lock_keeps_it_until_it_ends(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    lock.is_handed_down = True
    child = os.fork()
    if not child:
        signal.pause()
    try:
        os.close(lock._descriptor or 0)  # as the kernel does when the parent is killed
        lock._descriptor = None
        with pytest.raises(UserError, match="wait for it or stop it"):
            RunLock(tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    wait_until_free(tmp_path, 10)
    RunLock(tmp_path).release()


@pytest.mark.parametrize(
    ("change", "way_out"),
    [
        (
            lambda owner: owner._replace(host="elsewhere"),
            "no lock that shows whether it still runs; if it has ended, remove",
        ),
        (
            lambda owner: owner._replace(host="elsewhere", job="77"),
            None,
        ),  # this job, requeued on another node
        (lambda owner: owner._replace(started="another boot 5"), None),
        (
            lambda owner: owner._replace(started=owner.started.rpartition(" ")[0] + " 5"),
            None,
        ),  # a number used again
        (lambda owner: owner, "wait for it or stop it"),
    ],
)
def test_without_flock_the_file_tells_whether_its_owner_lives(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Owner], Owner],
    way_out: str | None,
) -> None:
    monkeypatch.setattr(RunLock, "_take_flock", lambda *arguments: False)
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    owner = change(Owner.this_process()._replace(job=None, restarts=0))
    (tmp_path / "lock").write_text(json.dumps(owner._asdict()))
    if way_out is None:
        RunLock(tmp_path).release()
        return
    with pytest.raises(UserError, match=way_out):
        RunLock(tmp_path)
    assert Owner.read(tmp_path / "lock") == owner


def test_the_lock_is_no_way_to_write_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(UserError, match="Too many levels of symbolic links"):
        RunLock(tmp_path / "run")
    assert (tmp_path / "precious").read_text() == "keep"


@pytest.mark.parametrize(
    "tail",
    [b'{"generation": 3, "env', b"\x00" * 500, b'{"generation": 3}\n', b"\n\n", b"\xff\xfe\n"],
)
def test_a_torn_last_row_is_dropped(tmp_path: Path, tail: bytes) -> None:
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.add(row(1))
    metrics.add(row(2))
    whole = metrics.path.read_bytes()
    metrics.path.write_bytes(whole + tail)
    assert metrics.end() == list(metrics.rows()) == [row(1), row(2)]
    metrics.cut(2)
    assert metrics.path.read_bytes() == whole


def test_lost_rows_are_told(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.add(row(1))
    with pytest.warns(UserWarning, match="has lost rows: 1 of 5 are left"):
        metrics.cut(5)


def test_whole_rows_stay_beside_a_damaged_one(tmp_path: Path) -> None:
    """Columns are of the whole rows, and a resume keeps them."""
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    for generation in range(1, 2501):
        machine = {"elapsed_s": 2 * generation}
        more = {"best_list": [1.0, None], "note": "text", "machine": machine}
        metrics.add(row(generation) | more)
    lines = metrics.path.read_bytes().splitlines(keepends=True)
    lines[1200] = lines[1200][:30] + b"\n"
    lines[1201] = lines[1201].replace(b'"elapsed_s": 2404', b'"elapsed_s": "long"')
    lines[1202] = lines[1202].replace(b"0.1", b"Infinity")
    metrics.path.write_bytes(b"".join(lines))

    columns = Columns(metrics)
    with pytest.warns(UserWarning, match="damaged rows, which are left out: 2"):
        generations = columns.numbers("generation")
    expected = [*range(1, 1201), *range(1203, 2501)]
    assert generations.tolist() == expected
    metrics.add(row(2501))  # not seen any more
    assert columns.numbers("machine.elapsed_s").tolist() == [2.0 * number for number in expected]
    assert columns.numbers("fitness_mean")[1200] == np.inf
    assert np.isnan(columns.numbers("note")).all()
    assert np.isnan(columns.numbers("nothing")).all()
    np.testing.assert_equal(columns.vectors("best_list[2]"), [[1.0, np.nan]] * len(expected))
    assert np.isnan(columns.vectors("best_list[3]")).all()

    with pytest.warns(UserWarning, match="has lost rows: 1998 of 2000 are left"):
        metrics.cut(2000)
    assert [each["generation"] for each in metrics.rows()] == expected[:1998]


def test_the_last_rows_are_read_without_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.path.write_bytes(
        b"".join(json.dumps(row(g)).encode() + b"\n" for g in range(1, 30_001))
    )
    monkeypatch.setattr(metrics_file, "blocks_of", lambda _: pytest.fail("reads the whole file"))
    last = [each["generation"] for each in metrics.end()]
    assert last == list(range(last[0], 30_001))
    assert 1 < last[0] < 25_000
    assert Columns(metrics).last == row(30_000)


def test_of_many_rows_the_extremes_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns_module, "_MOST_ROWS", 2000)
    random = np.random.default_rng(0)
    means, losses = random.normal(size=(2, 20_000))
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    lines = [
        json.dumps(
            row(g + 1)
            | {"fitness_mean": means[g], "loss": losses[g] if g % 100 == 7 else None}
            | {"failed_members": 2 * (g in (5, 11_111))}
        )
        for g in range(20_000)
    ]
    metrics.path.write_text("\n".join(lines) + "\n")

    columns = Columns(metrics)
    columns.read("generation", "fitness_mean")
    held = columns.numbers("generation").astype(int) - 1
    assert 200 < held.size <= 2000
    assert (np.diff(held) > 0).all()
    assert {0, 19_999, means.argmin(), means.argmax()} <= set(held)
    assert (columns.numbers("fitness_mean") == means[held]).all()

    known = ~np.isnan(columns.numbers("loss"))  # read later: other rows may be held
    held = columns.numbers("generation").astype(int) - 1
    assert held.size <= 2000
    assert (columns.numbers("loss")[known] == losses[held[known]]).all()
    assert np.nanmax(columns.numbers("loss")) == losses[7::100].max()
    assert (columns.numbers("fitness_mean") == means[held]).all()
    assert list(columns.counted("failed_members")) == [(6, 2), (11_112, 2)]


def test_a_long_line_is_thinned_to_points_that_look_the_same() -> None:
    random = np.random.default_rng(0)
    xs, ys = np.arange(100_003.0), random.normal(size=100_003)
    few_xs, few_ys = thinned(xs, ys)
    assert len(few_xs) < 5_000
    assert (few_ys == ys[few_xs.astype(int)]).all()
    assert (np.diff(few_xs) > 0).all()
    assert {0.0, 100_002.0, ys.argmin(), ys.argmax()} <= set(few_xs)
    assert thinned(xs[:4000], ys[:4000])[0].size == 4000


NAMES = [
    "two words",
    "it's",
    'a "b"',
    "new\nline",
    *words("ünï✓ -odd --help $HOME;ls"),
    "%s{0}",
    "x" * 255,
    "..a",
    "*",
    "\\",
    "~",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_folder_name_holds_a_run(tmp_path: Path, name: str) -> None:
    (tmp_path / "target").mkdir()
    link = tmp_path / ("l" + name[:200])
    link.symlink_to(tmp_path / "target")
    for path in (tmp_path / name, link):
        RunDirectory.create(path, CONFIG)
        run = RunDirectory.open(path).acquire()
        run.add_start(1)
        run.metrics.add(row(1))
        run.note(outcome="done")
        assert [start["outcome"] for start in run.starts()] == ["done"]
        with pytest.raises(UserError, match="one writer"):
            RunDirectory.open(path).acquire()
        run.release()


def test_a_name_that_no_file_system_takes_is_refused(esengine_here: Run, tmp_path: Path) -> None:
    arguments = (
        *words("train cma-es --objective worlds:sphere --dimension 3 --ranks 1 --run-dir"),
        "x" * 300,
    )
    result = esengine_here(*arguments)
    assert result.returncode == 2
    assert "File name too long; use another folder" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("dimension", [3, 60_000])
def test_the_best_point_is_read_back_however_long_it_is(tmp_path: Path, dimension: int) -> None:
    directory = RunDirectory.create(
        tmp_path / "run", RunConfig("cma-es", TrainSettings(env_id="CartPole-v1"), CMAESSettings())
    )
    point, parameters = np.random.default_rng(0).normal(size=(2, dimension))
    directory.write_best({"value": 0.5, "point": point, "parameters": parameters})
    found = directory.best()
    assert found["value"] == 0.5
    assert np.array_equal(found["point"], point)
    assert np.array_equal(found["parameters"], parameters)
    vectors = directory.path / "best.safetensors"
    assert vectors.exists() == (2 * dimension > 100_000)
    assert (directory.path / "best.json").stat().st_size < 1000
    damaged = vectors if vectors.exists() else directory.path / "best.json"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"best\.json must"):
        directory.best()
    directory.release()
