"""Shared files: packing, mapping, and finding them from other processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

from esengine.ranks.node_memory import NodeMemory, map_bundle, pack, unpack
from esengine.ranks.shared_folder import ROOT


@given(
    st.dictionaries(
        st.text(max_size=5), st.integers(-(2**53), 2**53) | st.text(max_size=5), max_size=4
    ),
    st.dictionaries(
        st.text(min_size=1, max_size=5),
        hnp.arrays(
            st.sampled_from([np.float32, np.float64, np.int64, np.uint8]),
            hnp.array_shapes(min_dims=0, min_side=0),
        ),
        max_size=3,
    ),
)
def test_a_bundle_survives_packing(
    header: dict[str, object], arrays: dict[str, np.ndarray]
) -> None:
    unpacked_header, unpacked = unpack(pack(header, arrays))
    assert unpacked_header == header
    assert list(unpacked) == list(arrays)
    for name, array in arrays.items():
        assert unpacked[name].dtype == array.dtype
        np.testing.assert_array_equal(unpacked[name], array)


def test_a_written_bundle_is_mapped_without_a_copy_and_outlives_its_file() -> None:
    memory = NodeMemory()
    header, arrays = map_bundle(
        memory.write(7, {"sigma": 0.5}, {"rows": np.arange(12.0).reshape(3, 4)})
    )
    assert header == {"sigma": 0.5}
    assert not arrays["rows"].flags.owndata
    assert not arrays["rows"].flags.writeable
    memory.remove(7)
    np.testing.assert_array_equal(arrays["rows"], np.arange(12.0).reshape(3, 4))
    memory.close()


def test_other_processes_find_the_files_and_nothing_has_a_name() -> None:
    script = (
        "import sys, time; from esengine.ranks.node_memory import *; memory = NodeMemory()\n"
        "for key in range(100):\n"
        "    memory.write(key, {'key': key}, {})\n"
        "    if key >= 3: memory.remove(key - 3)\n"
        "print(memory.address, flush=True); time.sleep(60)"
    )
    before = set(os.listdir(ROOT))
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        shared = NodeMemory(process.stdout.readline().strip())
        assert [map_bundle(shared.find(key))[0]["key"] for key in (97, 98, 99)] == [97, 98, 99]
        assert set(os.listdir(ROOT)) <= before
        with pytest.raises(KeyError):
            shared.find(96)
        process.send_signal(signal.SIGKILL)
