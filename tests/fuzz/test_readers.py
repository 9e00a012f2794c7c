"""Every reader of a file that a stranger may have made: whatever the bytes, one clear error or a
value that is whole.

The number of examples is small here; ``make fuzz`` sets ``ESENGINE_FUZZ`` to a large one.
"""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from safetensors.numpy import load, save_file

from esengine.errors import UserError
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.runs.run_lock import Owner
from esengine.launch.settings.parse_train import read_config
from esengine.policies import load_policy
from esengine.repertoires import Repertoire, load_archive, save_archive
from esengine.storage import checkpoints, load_newest, save_checkpoint
from tests.support.training import METHODS, interrupted_at, training

EXAMPLES = int(os.environ.get("ESENGINE_FUZZ", "40"))
MOST_BYTES = 64 << 20  # of Python's memory that reading a small file may take
fuzzed = settings(
    max_examples=EXAMPLES, deadline=None, derandomize="ESENGINE_FUZZ" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], database=None,
)  # fmt: skip

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**30, -(10**400), 2**63, -1])
    | st.floats()
    | st.text(max_size=9)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=9,
)
hostile_texts = st.sampled_from([
    b"", b"\x00" * 64, b"\xff\xfe{", b"[" * 100_000, b'{"a":' * 50_000, b"9" * 10_000, b"1e999999", b"NaN", b"null", b"[]",
    b"{}", b'{"a": 1, "a": 2}', b'"x"', "\ud83d".encode("utf-16", "surrogatepass"), b"\xef\xbb\xbf{}", b"x = " + b"[" * 50_000,
])  # fmt: skip


@cache
def run() -> Path:
    """A stopped run with an open generation, a policy and rows."""
    path = Path(mkdtemp(prefix="esengine-fuzz-")) / "run"
    training(path, {"policy_returns": interrupted_at(2)}, METHODS["truncation-es"]).run()
    training(path, {"tell": interrupted_at(1)}, METHODS["truncation-es"]).run()
    return path


@pytest.fixture(scope="module", autouse=True)
def _removed_at_the_end() -> Any:
    yield
    if run.cache_info().currsize:
        shutil.rmtree(run().parent)


def damaged(data: st.DataObject, image: bytes) -> bytes:
    """The bytes with a few of them changed, cut, repeated or replaced by something hostile."""
    match data.draw(st.sampled_from(["bytes", "cut", "insert", "hostile", "json"])):
        case "bytes":
            changed = bytearray(image)
            for _ in range(data.draw(st.integers(1, 4))):
                changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(
                    st.integers(1, 255)
                )
            return bytes(changed)
        case "cut":
            return image[: data.draw(st.integers(0, len(image)))]
        case "insert":
            at = data.draw(st.integers(0, len(image)))
            return image[:at] + data.draw(st.binary(min_size=1, max_size=20)) + image[at:]
        case "hostile":
            return data.draw(hostile_texts)
    try:
        value = json.loads(image)
    except ValueError:
        return image[::-1]
    return json.dumps(changed_somewhere(data, value)).encode()


def changed_somewhere(data: st.DataObject, value: Any) -> Any:
    """A JSON value with one part, at any depth, of another value, removed or added."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 5)):
        name = data.draw(st.sampled_from(sorted(value)))
        match data.draw(st.sampled_from(["deeper", "deeper", "remove", "add"])):
            case "deeper":
                return value | {name: changed_somewhere(data, value[name])}
            case "remove":
                return {key: part for key, part in value.items() if key != name}
        return value | {data.draw(st.text(max_size=9)): data.draw(values)}
    if isinstance(value, list) and value and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(value) - 1))
        return [*value[:at], changed_somewhere(data, value[at]), *value[at + 1 :]]
    return data.draw(values)


def read(reader: Callable[[], Any]) -> Any:
    """What the reader gives, or None if it refuses in one clear sentence; its memory is bounded."""
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return reader()
    except UserError:
        return None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MOST_BYTES


@fuzzed
@given(st.data())
def test_policies(data: st.DataObject) -> None:
    path = run().parent / "policy"
    image = (run() / "policy.safetensors").read_bytes()
    size = int.from_bytes(image[:8], "little")
    if data.draw(st.booleans()):
        path.write_bytes(damaged(data, image))
    else:
        described = json.loads(json.loads(image[8 : 8 + size])["__metadata__"]["esengine"])
        text = json.dumps(changed_somewhere(data, described))
        sizes = data.draw(st.sampled_from([(42, 4, 4), (1, 4, 4), (0, 0, 0)]))
        dtype = data.draw(st.sampled_from(["f4", "f8", "i4"]))
        named = zip(
            ("parameters", "observation_mean", "observation_inverse_std"), sizes, strict=True
        )
        arrays = {
            name: np.full(count, data.draw(st.sampled_from([0, 1])), dtype) for name, count in named
        }
        save_file(arrays, path, {"esengine": text})
    policy = read(lambda: load_policy(path))
    if policy is not None:
        assert np.isfinite(policy.parameters).all()
        policy.act(np.zeros(policy.spec.observation_dim, np.float32))


@cache
def archive() -> Path:
    """An archive of two policies."""
    policy = load_policy(run())
    rows = np.stack([policy.parameters, policy.parameters])
    measures = np.array([[0.1, 0.2], [0.9, 0.9]])
    path = run().parent / "archive"
    numbers = (np.array([1, 11]), np.array([2.0, 5.0]), measures, np.array([1, 3]), rows)
    ranges = ((0.0, 1.0), (-1.0, 1.0))
    found = Repertoire("grid", ("a", "b"), ranges, (4, 3), -1.0, *numbers, policy=policy)
    save_archive(path, found)
    return path


@fuzzed
@given(st.data())
def test_archives(data: st.DataObject) -> None:
    image = archive().read_bytes()
    path = run().parent / "damaged archive"
    if data.draw(st.booleans()):
        path.write_bytes(damaged(data, image))
    else:
        size = int.from_bytes(image[:8], "little")
        described = json.loads(json.loads(image[8 : 8 + size])["__metadata__"]["esengine-archive"])
        text = json.dumps(changed_somewhere(data, described))
        save_file(load(image), path, {"esengine-archive": text})
    found = read(lambda: load_archive(path))
    if found is not None:
        assert 0 < found.coverage <= 1
        assert np.isfinite(found.qd_score)
        assert found.elite_of(found.coordinates(0)) == 0
        assert np.isfinite(found.policy_of(found.best()).parameters).all()


@fuzzed
@given(st.data())
def test_checkpoints(data: st.DataObject) -> None:
    folder = run().parent / "checkpoints"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(run() / "checkpoints", folder)
    newest = checkpoints(folder)[-1]
    file = newest / data.draw(st.sampled_from(["state.json", "state.safetensors"]))
    whole = load_newest(folder)
    assert whole is not None
    before = file.read_bytes()
    file.write_bytes(damaged(data, before))
    loaded = read(lambda: load_newest(folder))
    if (
        loaded is not None and loaded.name == whole.name
    ):  # white space may have changed, and nothing else
        assert (loaded.counters, loaded.finished) == (whole.counters, whole.finished)
        assert all(
            np.array_equal(loaded.arrays[name], array) for name, array in whole.arrays.items()
        )


@settings(fuzzed, max_examples=EXAMPLES // 2)
@given(st.data())
def test_checkpoints_with_right_checksums(data: st.DataObject) -> None:
    """A stranger can compute checksums too: what fits the run goes on, anything else is refused."""
    copy = run().parent / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(run(), copy)
    whole = load_newest(copy / "checkpoints")
    assert whole is not None
    match data.draw(st.sampled_from(["counters", "arrays", "finished", "missing"])):
        case "counters":
            changed = changed_somewhere(data, whole.counters)
            hostile = replace(whole, counters=changed if isinstance(changed, dict) else {})
        case "arrays":
            name = data.draw(st.sampled_from(sorted(whole.arrays)))
            shape = tuple(data.draw(st.lists(st.integers(0, 5), max_size=3)))
            fill = data.draw(st.sampled_from([0, 1, 127]))
            array = np.full(shape, fill, data.draw(st.sampled_from(["f8", "f4", "i8", "u1"])))
            hostile = replace(whole, arrays=whole.arrays | {name: array})
        case "finished":
            hostile = replace(
                whole, finished={data.draw(st.integers(-3, 20)): data.draw(st.binary(max_size=40))}
            )
        case _:
            name = data.draw(st.sampled_from(sorted(whole.arrays)))
            hostile = replace(
                whole, arrays={key: array for key, array in whole.arrays.items() if key != name}
            )
    shutil.rmtree(copy / "checkpoints")
    save_checkpoint(copy / "checkpoints", hostile, 1)
    read(training(copy, {"advance": interrupted_at(1)}, METHODS["truncation-es"]).run)


@fuzzed
@given(st.data())
def test_run_records(data: st.DataObject) -> None:
    copy = run().parent / "records"
    copy.mkdir(exist_ok=True)
    for name in ("config.json", "metrics.jsonl"):
        shutil.copy(run() / name, copy / name)
    (copy / "lock").write_text('{"host": "h", "pid": 1, "started": "b n 5", "job": null}')
    (copy / "done.json").write_text('{"reason": "r", "generations": 4, "final_return": null}')
    (copy / "best.json").write_text('{"value": 1.0, "point": [1.0], "parameters": [2.0]}')
    victim = copy / data.draw(
        st.sampled_from(["config.json", "metrics.jsonl", "lock", "done.json", "best.json"])
    )
    victim.write_bytes(damaged(data, victim.read_bytes()))
    directory = RunDirectory(copy)

    def check_config() -> None:
        RunDirectory.open(copy).config().check()

    for reader in (check_config, directory.starts, directory.done, directory.best):
        read(reader)
    for row in read(directory.metrics.rows):
        assert row["generation"] > 0
    owner = Owner.read(copy / "lock")
    assert owner is None or isinstance(owner.has_ended(), bool | None)


@fuzzed
@given(st.data())
def test_config_files(data: st.DataObject) -> None:
    path = run().parent / "flags.toml"
    text = (
        'env-id = "CartPole-v1"\npopulation-size = 8\nsigma = 0.5\nhidden_sizes = '
        "[4]\ntarget_return = 1e3\nquiet = false\n"
    )
    image = damaged(data, text.encode())
    if data.draw(st.booleans()):
        image += b"\n" + data.draw(st.sampled_from([
            b"seed = 99999999999999999999999", b"x = 1979-05-27T07:32:00Z", b"[seed]\na = 1", b"sigma = nan", b"seed = 0x",
            b"env_id = 'twice'", b"population_size = 1_000_000_000_000_000_000", b"generations = " + b"9" * 5000,
        ]))  # fmt: skip
    path.write_bytes(image)
    settings_of_the_file = read(lambda: read_config("openai-es", str(path)))
    assert settings_of_the_file is None or len(settings_of_the_file) == 2
