"""Starts of CMA-ES other than a point: another run's distribution, and points to evaluate first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.restarts import arrays_of_a_search
from esengine.errors import UserError
from esengine.problems.search_space import SearchSpace
from esengine.storage.checkpoint import load_newest
from esengine.storage.files import parse_arrays, read_safetensors, replacing, write_arrays
from esengine.storage.numpy_files import read_npy

_PARTS = ("strategy/mean", "strategy/sigma", "strategy/C")


def distribution_of(run: str, n: int) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """Return mean (n,), sigma and covariance matrix (n, n) of a run's newest checkpoint, or of a
    file of `save_distribution`.

    Args:
        run: the run directory, or the file.
        n: number of parameters.

    Raises:
        UserError: there is no checkpoint, or it has another method or number of parameters.
    """
    arrays = _arrays_of(run)
    if not set(_PARTS) <= set(arrays):
        raise UserError(
            f"--warm-start must be a run of cma-es without --surrogate, got {run}, which has no "
            f"covariance matrix"
        )

    mean, sigma, covariance = (arrays[name] for name in _PARTS)
    if (mean.shape, sigma.size, covariance.shape) != ((n,), 1, (n, n)):
        raise UserError(
            f"--warm-start must have {n} parameters, got {run} with {mean.size}; use a run of the "
            f"same problem"
        )
    return np.array(mean, np.float64), float(sigma), np.array(covariance, np.float64)


def save_distribution(path: Path, run: str) -> None:
    """Write the distribution of a run's newest checkpoint to a file. Raises UserError, OSError."""
    arrays = _arrays_of(run)
    with replacing(path) as aside:
        write_arrays(aside, {name: arrays[name] for name in _PARTS})


def _arrays_of(run: str) -> dict[str, NDArray[Any]]:
    """The arrays of a run's newest checkpoint, or of a file. Raises UserError."""
    path = Path(run)
    if path.suffix == ".safetensors":
        try:
            return parse_arrays(read_safetensors(path))
        except (OSError, ValueError) as error:
            raise UserError(
                f"--warm-start must be a run directory, or a whole file of a distribution, got "
                f"{run}: {error}"
            ) from error
    checkpoint = load_newest(path / "checkpoints")
    if checkpoint is None:
        raise UserError(
            f"--warm-start must be a run directory with a checkpoint, got {run}; give the folder "
            f"of a cma-es run"
        )
    state = arrays_of_a_search(checkpoint.arrays, "strategy/")
    return {f"strategy/{name}": array for name, array in state.items()}


def points_of(file: str, space: SearchSpace) -> NDArray[np.float64]:
    """Return the points of a .npy file, (num_points, space.num_variables) float64. No code is run.

    Raises:
        UserError: the file cannot be read, or does not hold points of the space.
    """
    try:
        points = read_npy(Path(file))
    except (OSError, ValueError) as error:
        raise UserError(
            f"--inject must be a .npy file of points, got {file}: {error}; write one with "
            f"numpy.save"
        ) from error

    n = space.num_variables
    if points.dtype.kind not in "biuf":
        raise UserError(f"--inject must hold numbers, got {file} of {points.dtype}")
    if points.ndim != 2 or points.shape[1] != n or not np.isfinite(points).all():
        raise UserError(
            f"--inject must hold finite points of {n} numbers, one a row, got {file} of shape "
            f"{points.shape}"
        )

    outside = ((points < space.lower) | (points > space.upper))[:, space.searched].any(axis=1)
    if outside.any():
        raise UserError(
            f"--inject must hold points within the bounds, got row {np.argmax(outside)} of {file} "
            f"outside; drop it"
        )
    return np.asarray(points, np.float64)
