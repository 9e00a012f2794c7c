"""What comes back of chunks: named arrays through bytes and back, in the order of chunks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from esengine.problems import ArraySpec, failed_records
from esengine.problems.chunk_arrays import pack_chunk, unpack_chunk, unpack_chunks
from esengine.problems.records import new_records

BOUNDS = [(0, 2), (2, 4), (4, 5)]
EVEN = ArraySpec("even", (2,), members=lambda size: np.arange(0, size, 2))
SPECS = (
    ArraySpec("total", (2,), "sum", missing=0.0),
    ArraySpec("moments", (3,), "chunks", missing=0.0),
    ArraySpec("row", (), missing=-1, dtype="<i8"),
    EVEN,
    ArraySpec("steps", (2,), "ragged"),
)


def arrays_of(start: int, stop: int) -> dict[str, Any]:
    return {
        "total": np.array([stop - start, 1.0]),
        "moments": np.full(3, float(start)),
        "row": list(range(start, stop)),
        "even": [[member, 0.5] for member in range(start, stop) if member % 2 == 0],
        "steps": [np.full((member, 2), float(member)) for member in range(start, stop)],
    }


def results(failed: int | None = None) -> list[bytes]:
    return [
        pack_chunk(failed_records(start, stop), {}, SPECS)
        if chunk == failed
        else pack_chunk(new_records(start, stop - start), arrays_of(start, stop), SPECS)
        for chunk, (start, stop) in enumerate(BOUNDS)
    ]


def test_arrays_return_joined_as_their_specs_say() -> None:
    records, arrays = unpack_chunks(results(), BOUNDS, SPECS)
    assert records["member"].tolist() == [0, 1, 2, 3, 4]
    assert arrays["total"].tolist() == [5.0, 3.0]
    assert arrays["moments"].tolist() == [[0.0] * 3, [2.0] * 3, [4.0] * 3]
    assert arrays["row"].tolist() == [0, 1, 2, 3, 4]
    assert arrays["even"].tolist() == [[0.0, 0.5], [2.0, 0.5], [4.0, 0.5]]
    assert [array.shape for array in arrays["steps"]] == [(member, 2) for member in range(5)]
    assert all((array == member).all() for member, array in enumerate(arrays["steps"]))


def test_a_failed_chunk_returns_records_alone_and_counts_as_missing() -> None:
    records, arrays = unpack_chunks(results(failed=1), BOUNDS, SPECS)
    assert np.isnan(records["fitness"]).tolist() == [False, False, True, True, False]
    assert arrays["total"].tolist() == [3.0, 2.0]
    assert arrays["moments"][1].tolist() == [0.0] * 3
    assert arrays["row"].tolist() == [0, 1, -1, -1, 4]
    assert np.isnan(arrays["even"][:, 0]).tolist() == [False, True, False]
    assert [len(array) for array in arrays["steps"]] == [0, 1, 0, 0, 4]


def test_a_chunk_without_arrays_is_its_records_alone() -> None:
    records = new_records(0, 3)
    assert pack_chunk(records, {}, ()) == records.tobytes()
    joined, arrays = unpack_chunks([records.tobytes()], [(0, 3)], ())
    assert joined.tolist() == records.tolist()
    assert arrays == {}


@pytest.mark.parametrize("change", [lambda image: image[:-1], lambda image: image + b"0" * 8])
def test_a_result_of_another_length_is_refused(change: Any) -> None:
    with pytest.raises(ValueError, match="must have"):
        unpack_chunk(change(results()[1]), *BOUNDS[1], 5, SPECS)
