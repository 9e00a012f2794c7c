"""Trajectories one after another, as the arrays of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.demonstrations.trajectories import Trajectory, TrajectoryError
from esengine.errors import UserError

_PER_STEP = ("actions", "rewards", "labels")


def stacked(trajectories: Sequence[Trajectory]) -> dict[str, NDArray[Any]]:
    """All trajectories one after another, as arrays for a file; none if there are no trajectories.

    ``lengths`` (num_trajectories,) int64 steps of each, ``observations`` (sum of lengths +
    num_trajectories, obs_dim), ``actions`` and, where one has any, ``labels`` (sum of lengths,
    num_choices), ``rewards`` (sum of lengths,), ``terminated``, ``truncated`` and ``seeds``
    (num_trajectories,). Unknown seeds are -1.
    """
    if not trajectories:
        return {}

    arrays: dict[str, NDArray[Any]] = {
        "lengths": np.array([one.num_steps for one in trajectories], np.int64),
        "seeds": np.array([-1 if one.seed is None else one.seed for one in trajectories], np.int64),
    }
    for field in ("terminated", "truncated"):
        arrays[field] = np.array([getattr(one, field) for one in trajectories], bool)
    for field in ("observations", "actions", "rewards"):
        arrays[field] = _joined([getattr(one, field) for one in trajectories])
    if any(one.labels is not None for one in trajectories):
        arrays["labels"] = _joined([one.targets for one in trajectories])

    return arrays


def _joined(arrays: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate(arrays) if len(arrays) > 1 else arrays[0]


def unstacked(arrays: Mapping[str, NDArray[Any]], name: str) -> Iterator[Trajectory]:
    """The trajectories of the arrays of `stacked`.

    Args:
        arrays: may hold others beside these.
        name: of the file that they are from, for errors.

    Raises:
        UserError: they do not belong together.
    """
    lengths = arrays.get("lengths", np.zeros(0, np.int64))
    count = lengths.size
    if lengths.ndim != 1 or not np.issubdtype(lengths.dtype, np.integer) or (lengths < 1).any():
        raise UserError(
            f"{name}: lengths must be positive whole numbers, one a trajectory, got "
            f"{lengths.dtype} {lengths}"
        )
    total = int(lengths.sum())
    rows = {field: total for field in _PER_STEP} | {"observations": total + count}
    rows |= {field: count for field in ("terminated", "truncated", "seeds")}

    for field, wanted in rows.items():
        if field in arrays and (arrays[field].ndim == 0 or len(arrays[field]) != wanted):
            raise UserError(
                f"{name}: {field} must have {wanted} rows for these lengths, got shape "
                f"{arrays[field].shape}"
            )
    stops = np.cumsum(lengths)
    seeds = arrays.get("seeds", np.full(count, -1))
    for index, (stop, length) in enumerate(zip(stops.tolist(), lengths.tolist(), strict=True)):
        steps = {
            field: arrays[field][stop - length : stop] for field in _PER_STEP if field in arrays
        }
        steps.setdefault("actions", np.zeros((length, 0)))
        if "labels" in steps and np.array_equal(steps["labels"], steps["actions"]):
            del steps["labels"]  # they are the expert's own actions
        observations = arrays["observations"][stop - length + index : stop + index + 1]
        ends = [bool(arrays[field][index]) for field in ("terminated", "truncated")]
        seed = None if seeds[index] < 0 else int(seeds[index])
        yield checked(
            name,
            index,
            observations=observations,
            terminated=ends[0],
            truncated=ends[1],
            seed=seed,
            **steps,
        )


def checked(name: str, index: int, **parts: Any) -> Trajectory:
    """A trajectory of a file. Raises UserError that names file, trajectory and field."""
    try:
        return Trajectory(**parts)
    except TrajectoryError as error:
        raise UserError(f"{name}, trajectory {index}: {error.field} {error.reason}") from error
