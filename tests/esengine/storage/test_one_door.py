"""Files of strangers are read through one door: a regular file, whose claims its size allows."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from esengine.demonstrations import load_demonstrations
from esengine.demonstrations.minari_datasets import read_dataset
from esengine.errors import UserError
from esengine.storage.files import read_bytes, read_end, read_lines, read_safetensors
from esengine.storage.numpy_files import npz_image, read_npy, read_npz
from tests.conftest import REPOSITORY
from tests.support.modules import sources, tree

MOST_BYTES = 8 << 20  # that refusing a small file may take
CLAIMED = 3 << 30


def npy(text: str) -> bytes:
    """An npy file with this header and no array."""
    padded = text + " " * (63 - (10 + len(text)) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded.encode()


def claiming(shape: str, dtype: str = "<f8") -> bytes:
    return npy(f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}")


def zipped(*members: tuple[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    image = io.BytesIO()
    with zipfile.ZipFile(image, "w", packing) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return image.getvalue()


def with_directory_of(num_bytes: int) -> bytes:
    """A zip that claims a directory of a size."""
    image = bytearray(zipped(("x.npy", claiming("()"))))
    image[-10:-6] = struct.pack("<I", num_bytes)
    return bytes(image)


def tensors(header: bytes, claimed: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if claimed is None else claimed) + header


ZEROS = bytes(70 << 20)
OFFSETS = json.dumps({"x": {"dtype": "F64", "shape": [1 << 40], "data_offsets": [0, 1 << 43]}})
BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "an npy of another size": ("x.npy", lambda: claiming(f"({CLAIMED},)")),
    "an npy whose shape overflows": ("x.npy", lambda: claiming(f"({1 << 40}, {1 << 40})")),
    "an npy of nothing, many times": ("x.npy", lambda: claiming(f"({1 << 60},)", "<U0")),
    "an npy of negative shape": ("x.npy", lambda: claiming("(-1, 8)")),
    "an npy of another kind": ("x.npy", lambda: claiming("(1,)", "|V8") + bytes(8)),
    "an npy nested deeply": ("x.npy", lambda: npy("(" * 5000)),
    "an npz that unpacks to zeros": (
        "x.npz",
        lambda: zipped(("x.npy", claiming(f"({len(ZEROS)},)", "|u1") + ZEROS)),
    ),
    "an npz whose array is not there": ("x.npz", lambda: zipped(("x.npy", claiming("(99,)")))),
    "an npz that holds an array twice": (
        "x.npz",
        lambda: zipped(*[("x.npy", claiming("()") + bytes(8))] * 2),
    ),
    "an npz of another packing": (
        "x.npz",
        lambda: zipped(("x.npy", claiming("()")), packing=zipfile.ZIP_LZMA),
    ),
    "an npz of a large directory": ("x.npz", lambda: with_directory_of(1 << 31)),
    "tensors of a long header": ("x.safetensors", lambda: tensors(b"{}", 1 << 60)),
    "tensors that are not there": ("x.safetensors", lambda: tensors(OFFSETS.encode())),
    "tensors without a table": ("x.safetensors", lambda: tensors(b"[1]")),
    "tensors of zeros": ("x.safetensors", lambda: bytes(1 << 10)),
}
READERS: dict[str, Callable[[Path], object]] = {
    ".npy": read_npy,
    ".npz": lambda path: read_npz(path, ["x"]),
    ".safetensors": read_safetensors,
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", BOMBS)
def test_a_claim_is_refused_before_it_takes_memory(tmp_path: Path, case: str) -> None:
    name, image = BOMBS[case]
    path = tmp_path / name
    path.write_bytes(image())
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"\w"):
        READERS[path.suffix](path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST_BYTES


def test_arrays_that_nobody_asks_for_are_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    unknown = claiming(f"({len(ZEROS)},)", "|u1") + ZEROS
    path.write_bytes(zipped(("x.npy", claiming("(1,)") + bytes(8)), ("unknown.npy", unknown)))
    tracemalloc.start()
    assert read_npz(path, ["x", "missing"])["x"].tolist() == [0.0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST_BYTES


@pytest.mark.parametrize("size", [3, 10_000_000])
def test_what_is_written_is_read_back_however_well_it_packs(tmp_path: Path, size: int) -> None:
    arrays = {"zeros": np.zeros(size), "text": np.array("ä"), "none": np.zeros((0, 2), bool)}
    path = tmp_path / "x.npz"
    path.write_bytes(npz_image(arrays))
    found = read_npz(path, list(arrays))
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())


@pytest.fixture(params=["pipe", "device", "folder", "link to a pipe", "huge"])
def hostile(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "hostile"
    match request.param:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "link to a pipe":
            os.mkfifo(tmp_path / "pipe")
            path.symlink_to(tmp_path / "pipe")
        case _:
            with path.open("wb") as file:
                file.truncate(1 << 42)
    return path


def test_nothing_but_regular_files_of_bounded_size_is_read(hostile: Path) -> None:
    readers = (read_bytes, read_safetensors, read_npy, lambda path: read_npz(path, ["x"]))
    for reader in readers:
        with pytest.raises((ValueError, OSError)):
            reader(hostile)


def test_lines_and_ends_are_read_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with path.open("wb") as file:
        file.write(b"first\n")
        file.truncate(1 << 42)
    with pytest.raises(ValueError, match="it has a line of more than 100 bytes"):
        list(read_lines(path, 100))
    path.write_bytes(b"first\n" + b"second\n" * 100 + b"third")
    lines = [line for block in read_lines(path, 100) for line in block]
    assert lines == [b"first\n", *[b"second\n"] * 100, b"third"]
    assert read_end(path, 10) == b"cond\nthird"


def test_a_network_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(save({"x": np.zeros(4)}))
    assert read_safetensors(path) == path.read_bytes()
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(ValueError, match="its header claims"):
        read_safetensors(path)


def test_hdf5_files_name_no_other_files_and_no_bombs(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    space = json.dumps(
        {"type": "Box", "dtype": "float32", "shape": [1], "low": [0.0], "high": [1.0]}
    )
    described = {
        "data_format": "hdf5", "total_episodes": 1, "total_steps": 1,
        "observation_space": space, "action_space": space,
    }  # fmt: skip

    def external(group: Any) -> None:
        group["observations"] = h5py.ExternalLink("/dev/zero", "/x")

    def elsewhere(group: Any) -> None:
        group.create_dataset("observations", (9,), "f8", external=[("/etc/passwd", 0, 72)])

    def packed(group: Any) -> None:
        group.create_dataset("infos/x", (1 << 40,), "f8", chunks=(1 << 10,), compression="gzip")

    def chunked(group: Any) -> None:
        group.create_dataset("rewards", (1,), "f8", chunks=(1 << 28,), maxshape=(None,))

    def circular(group: Any) -> None:
        group["infos"] = group

    def repeated(group: Any) -> None:
        one = group.create_dataset("x", (9,), "f8")
        group["observations"] = one

    for change in (external, elsewhere, packed, chunked, circular, repeated):
        data = tmp_path / change.__name__ / "data"
        data.mkdir(parents=True)
        (data / "metadata.json").write_text(json.dumps(described))
        with h5py.File(data / "main_data.hdf5", "w") as file:
            change(file.create_group("episode_0"))
        with pytest.raises(UserError, match="must be a whole Minari dataset, but: ValueError: "):
            read_dataset("", data.parent)


def test_a_dataset_cannot_let_minari_make_its_environment(tmp_path: Path) -> None:
    pytest.importorskip("minari")
    data = tmp_path / "data"
    data.mkdir()
    spec = {"id": "x", "entry_point": "os:system", "kwargs": {"command": "exit"}}
    metadata = {"data_format": "hdf5", "total_episodes": 0, "env_spec": json.dumps(spec)}
    (data / "metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(UserError, match=r"metadata\.json must have observation_space"):
        read_dataset("", tmp_path)


def test_a_bomb_of_demonstrations_ends_within_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("observations.npy", "w", force_zip64=True) as part:
            part.write(claiming(f"({1 << 28},)", "|u1"))
            for _ in range(16):
                part.write(bytes(1 << 24))
        for name in ("lengths", "actions", "rewards", "terminated", "truncated", "environment"):
            archive.writestr(f"{name}.npy", claiming("(1,)") + bytes(8))
    with pytest.raises(UserError, match=r"bomb\.npz .* its arrays claim \d+ bytes of memory"):
        load_demonstrations([path])


def test_a_pipe_that_nobody_writes_to_is_left_at_once_by_a_signal(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    command = [*(sys.executable, "-m", "esengine", "train", "snes", "--config"), "pipe"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        writer = -1
        while writer < 0 and process.poll() is None:
            with suppress(OSError):  # nobody reads yet
                writer = os.open(tmp_path / "pipe", os.O_WRONLY | os.O_NONBLOCK)
        process.send_signal(2)
        _, error = process.communicate(timeout=60)
    os.close(writer)
    assert (process.returncode, error) == (1, "esengine: stopped by SIGINT\n")


LAUNCH = "the launch's own files, in a private folder"
EXCEPTIONS = {
    "esengine/storage/files.py": "the door",
    "esengine/storage/numpy_files.py": "the door",
    "esengine/storage/hdf5_files.py": "the door",
    "esengine/__main__.py": "opens /dev/null",
    "esengine/checks.py": "a word of the command line",
    "esengine/isolation/requests.py": "messages between a process and its fork",
    "esengine/isolation/teams.py": LAUNCH,
    "esengine/memory.py": "reads /proc and /sys",
    "esengine/policies/foreign_policy.py": "unpacks what the door gave, within bounds",
    "esengine/programs/child.py": "writes what a program prints",
    "esengine/user_code/objects.py": "messages between processes of a launch",
    "esengine/ranks/messages.py": "messages between ranks",
    "esengine/ranks/births.py": "messages between processes of a launch",
    "esengine/ranks/guard.py": "messages between processes of a launch",
    "esengine/ranks/node_memory.py": LAUNCH,
    "esengine/ranks/shared_folder.py": LAUNCH,
    "launch/mpirun/caller.py": LAUNCH,
    "launch/mpirun/local_ranks.py": LAUNCH,
    "launch/python/arguments.py": "a copy of the caller's own object",
    "launch/mpirun/start_watch.py": "reads /proc",
    "launch/runs/run_lock.py": "opens the lock to lock it, and reads /proc",
    "launch/runs/identity.py": "a text that it has written",
    "launch/results/plotting/runs.py": "a text that it has written",
    "launch/results/exporting/export.py": "a module of the package",
    "launch/results/exporting/predictor.py": "copied into what is exported",
    "launch/results/exporting/torch_module.py": "copied into what is exported",
    "launch/terminal/output.py": "writes to /dev/null",
    "launch/training/trial.py": "what its own child has written",
    "launch/doctor.py": "what its own child has written",
    "launch/settings/search_space.py": "parses what the door gave",
    "launch/settings/parse_train.py": "parses what the door gave",
    "launch/settings/variables_file.py": "parses what the door gave",
    "launch/training/isolation.py": "messages between a process and its fork",
    "launch/training/team_rank.py": LAUNCH,
}
"""Files that read in other ways, and why that is safe."""
LIBRARIES = {"np", "numpy", "json", "pickle", "tomllib", "torch", "h5py", "zipfile", "safetensors"}
OF_LIBRARIES = {"load", "loads", "loadtxt", "genfromtxt", "fromfile", "memmap", "File", "ZipFile"}
OTHERS = re.compile(r"\b(RunDirectory|self|spec|environment|EnvironmentSpec\(\w+\))$")
"""What has a method ``open`` and is no file."""
CALLS = {"open", "fdopen", "read_text", "read_csv", "safe_open", "load_file"}


def test_files_are_read_through_one_door() -> None:
    wrong = []
    used = set()
    for path in sources("esengine", "algorithms", "launch"):
        name = str(path.relative_to(REPOSITORY))
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.Call):
                continue
            attribute = getattr(node.func, "attr", None)
            called = attribute or getattr(node.func, "id", "")
            owner = ast.unparse(node.func).removesuffix(f".{attribute}")
            opens_other = attribute == "open" and OTHERS.search(owner)
            reads = called in CALLS or attribute == "read_bytes"
            reads |= owner in LIBRARIES and called in OF_LIBRARIES
            of_kernel = "'/proc/" in ast.unparse(node)
            if reads and not opens_other and not of_kernel:
                used.add(name)
                if name not in EXCEPTIONS:
                    wrong.append(f"{name}:{node.lineno} {called}")
    assert wrong == []
    assert used == set(EXCEPTIONS)
