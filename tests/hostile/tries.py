"""Tries: one command, and one file of a run or one given file that is not what it should be."""

from __future__ import annotations

import hashlib
import io
import json
import os
import resource
import shutil
import signal
import stat
import struct
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from esengine.launch.cli import main
from tests.conftest import SUPPORT
from tests.support.words import words

MOST_MEMORY_MB = 500
MOST_SECONDS = 10.0
_ADDRESSES = 16 << 30  # that a command may map; none may take the memory of the machine
HEX = "0f" * 8
OTHER = "another run's"

TRAIN = {
    "policy": "train truncation-es --env-id CartPole-v1 --population-size 8 --hidden-sizes 4 "
    "--elite-episodes 1 --checkpoint-every 1 --eval-every 1 --eval-episodes 1 --final-episodes 1",
    "point": "train sep-cma-es --objective worlds:sphere --dimension 1001 --minimize --sigma 0.1 "
    "--lower-bound bounds.npy --checkpoint-every 1",
}
COMMANDS = {
    "resume": "resume run --generations 3 --ranks 1 --trust-modules --quiet",
    "train": "train snes --env-id CartPole-v1 --generations 1 --ranks 1 --run-dir run --quiet",
    "status": "status run",
    "watch": "watch run --once",
    "report": "report run --no-film --out page.html",
    "plot": "plot run --kind fitness --out plot.png",
    "replay": "replay run --generation 1 --member 1 --trust-modules",
    "evaluate": "evaluate run --episodes 1 --ranks 1",
}
PLACES = {
    "policy": (
        *("config.json", "metrics.jsonl", "failures.jsonl", "done.json", "policy.safetensors"),
        *("lock", "checkpoints", "checkpoints/000002", "checkpoints/000002/state.json"),
        *("checkpoints/000002/state.safetensors", f"checkpoints/.000002.{HEX}", "curve.png"),
        *(f".aside-{HEX}-curve.png", "slurm", "slurm/job.json"),
    ),
    "point": ("best.json", "lower_bound.npy"),
}
GIVEN = {
    "bounds.npy": f"{TRAIN['point']} --generations 1 --ranks 1 --run-dir new --quiet",
    "bounds.txt": f"{TRAIN['point'].replace('.npy', '.txt')} --ranks 1 --run-dir new --quiet",
    "points.npy": "train cma-es --objective worlds:sphere --dimension 3 --minimize --ranks 1 "
    "--generations 1 --inject points.npy --run-dir new --quiet",
    "start": "train cma-es --objective worlds:sphere --dimension 3 --minimize --ranks 1 "
    "--generations 1 --warm-start start --run-dir new --quiet",
    "demos.npz": "demos inspect demos.npz",
    "given.safetensors": "evaluate given.safetensors --episodes 1 --ranks 1",
    "reward.safetensors": "train snes --env-id CartPole-v1 --generations 1 --ranks 1 "
    "--reward reward.safetensors --run-dir new --quiet",
    "bench.json": "plot bench.json --kind scaling --out plot.png",
    "page.html": "report run --no-film --out page.html",
    "minari/data/metadata.json": "demos inspect minari",
    "minari/data/main_data.hdf5": "demos inspect minari",
}


class Try(NamedTuple):
    """A command, the file that is changed for it, and what stands there in its place."""

    run: str
    place: str
    kind: str
    command: str

    def __str__(self) -> str:
        return f"{self.command.split(' --')[0]}: {self.place} is {self.kind}"


class Result(NamedTuple):
    """How a command ended.

    Attributes:
        status: its exit status, negative for a signal.
        told: the end of what it printed.
        memory_mb: its peak, beyond what the process had from which it was forked.
        seconds: how long it took.
    """

    status: int
    told: str
    memory_mb: float
    seconds: float


def all_tries() -> list[Try]:
    """Every command with every kind of file in every place that one may read or write."""
    tries = [
        Try(run, place, kind, command)
        for run, places in PLACES.items()
        for place in places
        for kind in KINDS
        for command in COMMANDS.values()
    ]
    given = (Try("policy", place, kind, word) for place, word in GIVEN.items() for kind in KINDS)
    return [*tries, *given]


class Stage:
    """Folders to try in, and the runs that they are copies of."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        np.save(folder / "bounds.npy", np.full(1001, -5.0))

    def run(self, name: str, seed: int) -> Path:
        """A finished run, which is made once."""
        path = self.folder / f"{name}-{seed}"
        if not path.exists():
            command = f"{TRAIN[name]} --seed {seed} --generations 2 --ranks 1 --quiet"
            ended = run_command(self.folder, f"{command} --run-dir {path.name}", 300.0)
            assert ended.status == 0, ended.told
        return path

    def play(self, one: Try, patience_s: float = MOST_SECONDS) -> list[str]:
        """Try it; returns what went wrong."""
        here, outside = self.folder / "here", self.folder / "outside"
        for folder in (here, outside):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        shutil.copytree(self.run(one.run, 1), here / "run", symlinks=True)
        shutil.copy(self.folder / "bounds.npy", here)
        for name in ("note.txt", ".ssh/id", "000009/invoice.txt", f".000009.{HEX}/state.json"):
            (outside / name).parent.mkdir(exist_ok=True)
            (outside / name).write_text("precious")
        place = here / one.place if one.place in GIVEN else here / "run" / one.place
        place.parent.mkdir(parents=True, exist_ok=True)
        other = self.run(one.run, 2) if one.kind == OTHER else Path()
        KINDS[one.kind](place, outside, other / one.place)

        before = _digest(outside)
        ended = run_command(here, one.command, patience_s)
        found = []
        if _digest(outside) != before:
            found.append("something outside was changed")
        if ended.memory_mb > MOST_MEMORY_MB:
            found.append(f"it took {ended.memory_mb:.0f} MB")
        if ended.seconds > patience_s:
            found.append(f"it took more than {patience_s:.0f} s")
        if "Traceback" in ended.told or ended.status not in (0, 1, 2, 75):
            found.append(f"it ended with {ended.status} and: {ended.told[-300:]}")
        return found


def run_command(folder: Path, command: str, patience_s: float) -> Result:
    """Run ``esengine COMMAND`` in a forked process, killed after ``patience_s``."""
    told = folder / "told.txt"
    began = time.monotonic()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    pid = os.fork()
    if pid == 0:
        _be_esengine(folder, words(command), told)
    ended = (0, 0, resource.getrusage(resource.RUSAGE_SELF))
    while ended[0] == 0:
        time.sleep(0.01)
        ended = os.wait4(pid, os.WNOHANG)
        if time.monotonic() - began > patience_s and ended[0] == 0:
            os.kill(pid, signal.SIGKILL)
            ended = os.wait4(pid, 0)
    status = os.waitstatus_to_exitcode(ended[1])
    seconds = time.monotonic() - began
    text = told.read_text(errors="replace")
    told.unlink()
    peak_bytes = ended[2].ru_maxrss * 1024 - pages * os.sysconf("SC_PAGE_SIZE")
    return Result(status, text, peak_bytes / 2**20, seconds)


def _be_esengine(folder: Path, arguments: Sequence[str], told: Path) -> None:
    """Be ``esengine ARGUMENTS``. Never returns."""
    status = 70
    try:
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
        sys.path.insert(0, str(SUPPORT))
        descriptor = os.open(told, os.O_WRONLY | os.O_CREAT)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        sys.stdout = os.fdopen(1, "w")
        sys.stderr = os.fdopen(2, "w")
        status = main(arguments)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        for out in (sys.stdout, sys.stderr):
            out.flush()
        os._exit(status)


def _digest(folder: Path) -> str:
    """A digest of all files of a folder, their names, kinds and bytes."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        found.update(f"{path} {mode}".encode())
        if stat.S_ISREG(mode) and path.stat().st_size < 1 << 30:
            found.update(path.read_bytes())
    return found.hexdigest()


def _removed(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)


def _link(place: Path, outside: Path, _: Path) -> None:
    """A link to the file itself, which lies outside now, or to somebody's folder."""
    target = outside / "target"
    if place.is_file():
        shutil.copy(place, target)
    else:
        target = outside
    _removed(place)
    place.symlink_to(target)


def _hard_link(place: Path, outside: Path, _: Path) -> None:
    target = outside / "target"
    if place.is_file():
        shutil.copy(place, target)
    else:
        target.write_text("precious")
    _removed(place)
    os.link(target, place)


def _dangling(place: Path, outside: Path, _: Path) -> None:
    _removed(place)
    place.symlink_to(outside / "nothing")


def _device(place: Path, _: Path, __: Path) -> None:
    _removed(place)
    place.symlink_to("/dev/zero")


def _pipe(place: Path, _: Path, __: Path) -> None:
    _removed(place)
    os.mkfifo(place)


def _folder(place: Path, _: Path, __: Path) -> None:
    _removed(place)
    place.mkdir()
    (place / "note.txt").write_text("a user's own")


def _huge(place: Path, _: Path, __: Path) -> None:
    _removed(place)
    with place.open("wb") as file:
        file.truncate(1 << 42)


def _bomb(place: Path, _: Path, __: Path) -> None:
    """A small file that claims or unpacks to much."""
    _removed(place)
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1125899906842624,), }\n"
    npy = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    tensor = {"x": {"dtype": "F64", "shape": [1 << 50], "data_offsets": [0, 1 << 53]}}
    text = json.dumps(tensor).encode()
    images = {
        ".npy": npy,
        ".safetensors": struct.pack("<Q", len(text)) + text,
        ".npz": _npz_of_zeros(),
        ".txt": b"1 " * (10 << 20),
        ".hdf5": b"\x89HDF\r\n\x1a\n" + bytes(1 << 20),
    }
    nested = b'{"a": ' + b"[" * (8 << 20)
    place.write_bytes(images.get(place.suffix, nested))


@cache
def _npz_of_zeros() -> bytes:
    """An npz of demonstrations that unpacks to gigabytes."""
    image = io.BytesIO()
    with zipfile.ZipFile(image, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("observations", "unknown"):
            header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (402653184,), }\n"
            with archive.open(f"{name}.npy", "w", force_zip64=True) as part:
                part.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
                for _ in range(24):
                    part.write(bytes(1 << 24))
    return image.getvalue()


def _of_another_run(place: Path, _: Path, other: Path) -> None:
    if other.exists():
        _removed(place)
        if other.is_dir():
            shutil.copytree(other, place)
        else:
            shutil.copy(other, place)


KINDS: dict[str, Callable[[Path, Path, Path], None]] = {
    "a link": _link,
    "a hard link": _hard_link,
    "a dangling link": _dangling,
    "a device": _device,
    "a pipe": _pipe,
    "a folder": _folder,
    "a huge file": _huge,
    "a bomb": _bomb,
    OTHER: _of_another_run,
}
