"""What ranks send each other is decoded by the type that the receiver names, and never a pickle."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from esengine import Demonstrations, EnvironmentSpec, Trajectory
from esengine.environments.spaces import ActionSpec
from esengine.launch.runs.result import RunResult
from esengine.ranks import values
from esengine.ranks.agreement import Refusal
from tests.support.modules import FOLDERS, sources, tree

OBJECTS = {"bcast", "gather", "allgather", "scatter", "alltoall", "allreduce", "exscan"}
OBJECTS |= {"isend", "irecv", "ssend", "issend", "bsend", "ibsend", "sendrecv", "mprobe"}
"""Methods of a communicator that pickle, but for those that sockets have, too."""
OF_ONE_MACHINE = {
    "compiled/kernels.py",  # the errors of numba's own cache
    "isolation/requests.py",  # between a worker and the children that it forked
    "python/arguments.py",  # an environment that the caller passes
    "user_code/objects.py",  # Python objects that the caller passes to the ranks that it starts
}


def test_no_message_between_ranks_is_a_pickle() -> None:
    found = set()
    for path in sources(*FOLDERS):
        for node in ast.walk(tree(path)):
            drawn = "plotting" in path.parts  # a scatter of points
            if isinstance(node, ast.Attribute) and node.attr in OBJECTS and not drawn:
                found.add(f"{path}: {node.attr}")
            if isinstance(node, ast.Import) and "pickle" in str([one.name for one in node.names]):
                found.add("/".join(path.parts[-2:]))
    assert found == OF_ONE_MACHINE


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, str | None),
        (b"bytes", bytes),
        (Refusal("a \ud800 sentence".encode("utf-8", "replace").decode(), True), Refusal | None),
        ({"seed": 2**63, "sigma": [0.5, float("inf")]}, dict[str, Any]),
    ],
)
def test_a_value_arrives_as_it_was(value: object, kind: Any) -> None:
    assert values.decode(values.encode(value), kind) == value


def test_arrays_arrive_with_their_type_and_shape() -> None:
    sent = {"mean": np.arange(6, dtype=np.float32).reshape(2, 3), "value": np.float64(0.1)}
    found = values.decode(values.encode(sent))
    np.testing.assert_array_equal(found["mean"], sent["mean"], strict=True)
    assert found["value"] == 0.1


def test_results_arrive_as_records() -> None:
    best = RunResult(True, "done", 3, np.ones(2), 0.5, np.zeros(2), None, None, None, [{"a": 1}])
    found = values.decode(values.encode(best), RunResult)
    assert (found.reason, found.best_value, found.rows) == ("done", 0.5, [{"a": 1}])
    np.testing.assert_array_equal(found.best_point, best.best_point, strict=True)

    one = Trajectory(np.ones((3, 2)), np.ones((2, 1)), np.ones(2), True, False, 7)
    demonstrations = Demonstrations(
        EnvironmentSpec("Any-v0", {"size": 2}), ActionSpec("box", (1,), (-1.0,), (1.0,)), (one,)
    )
    again = values.decode(values.encode(demonstrations), Demonstrations)
    assert (again.environment, again.action) == (demonstrations.environment, demonstrations.action)
    np.testing.assert_array_equal(again.trajectories[0].observations, one.observations)


def test_what_is_no_plain_data_is_not_sent() -> None:
    assert not values.can_encode(Path())
    assert not values.can_encode([object()])
    assert not values.can_encode(2**70)
    with pytest.raises(TypeError, match="of type object cannot be sent"):
        values.encode({"a": object()})


@pytest.mark.parametrize("body", [values.encode(3), pickle.dumps("text"), b"", b"\xc1"])
def test_bytes_of_another_type_are_refused(body: bytes) -> None:
    with pytest.raises((ValueError, msgspec.DecodeError)):
        values.decode(body, str)
