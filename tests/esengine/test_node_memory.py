"""Shared files: packing, mapping, and what is left by the dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from esengine.node_memory import ROOT, NodeMemory, map_bundle, pack, remove_abandoned, unpack


@given(
    st.dictionaries(st.text(max_size=5), st.integers(-(2**53), 2**53) | st.text(max_size=5), max_size=4),
    st.dictionaries(
        st.text(min_size=1, max_size=5),
        hnp.arrays(st.sampled_from([np.float32, np.float64, np.int64, np.uint8]), hnp.array_shapes(min_dims=0, min_side=0)),
        max_size=3,
    ),
)
def test_a_bundle_survives_packing(header: dict[str, object], arrays: dict[str, np.ndarray]) -> None:
    unpacked_header, unpacked = unpack(pack(header, arrays))
    assert unpacked_header == header
    assert list(unpacked) == list(arrays)
    for name, array in arrays.items():
        assert unpacked[name].dtype == array.dtype
        np.testing.assert_array_equal(unpacked[name], array)


def test_a_written_bundle_is_mapped_without_a_copy() -> None:
    memory = NodeMemory.create()
    try:
        path = memory.write("7", {"sigma": 0.5}, {"rows": np.arange(12.0).reshape(3, 4)})
        header, arrays = map_bundle(path)
        assert header == {"sigma": 0.5}
        assert not arrays["rows"].flags.owndata
        assert not arrays["rows"].flags.writeable
        memory.remove("7")
        np.testing.assert_array_equal(arrays["rows"], np.arange(12.0).reshape(3, 4))
    finally:
        memory.close()
    assert not memory.folder.exists()


def test_folders_of_the_living_stay_and_those_of_the_dead_go() -> None:
    script = (
        "import sys, time; from esengine.node_memory import *; memory = NodeMemory.create()\n"
        "memory.allocate('noise', 1 << 20, '--flag'); print(memory.folder, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert folder not in remove_abandoned()
        assert folder.exists()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert folder in remove_abandoned()
    assert not folder.exists()
    assert folder.parent == ROOT
