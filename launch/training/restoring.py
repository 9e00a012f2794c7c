"""Resuming from a checkpoint: what it must hold to fit the run that reads it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.saved_state import Part
from esengine.candidates import chunks, evaluation_chunk_size
from esengine.environments import EnvironmentSpec, check_fit
from esengine.errors import UserError, listed
from esengine.launch.runs.code import changes, code_at, code_of
from esengine.launch.runs.records import Code
from esengine.launch.runs.rows import is_row
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.settings.config import RunConfig
from esengine.launch.training.problem_from_settings import AnyProblem
from esengine.policies import load_policy
from esengine.problems import ObjectiveProblem
from esengine.problems.chunk_arrays import unpack_chunk
from esengine.storage import Checkpoint

Arrays = dict[str, NDArray[Any]]
Groups = dict[str, Arrays]
"""Arrays by the part of the run that they belong to."""

_PARTS = (
    *("strategy", "problem", "policy", "best", "start", "novelty", "goals"),
    *("constraints", "reliability", "open", "searches"),
)
_COUNTERS = {"env_steps", "evaluations", "eval_env_steps", "elapsed_s", "best_fitness"}


def check_environment(directory: RunDirectory, now: AnyProblem | EnvironmentSpec) -> None:
    """Raises UserError if an environment has other observations or actions than the policy that a
    run has trained so far.
    """
    if isinstance(now, ObjectiveProblem) or not directory.policy.exists():
        return
    policy = load_policy(directory.policy)
    spaces = (
        now.spaces() if isinstance(now, EnvironmentSpec) else (now.observations, now.policy.action)
    )
    found = (policy.spec.observation_dim, policy.spec.action)
    way_out = "restore the environment's code, or begin a new run"
    check_fit(f"the run {directory.path}", policy.environment.env_id, spaces, found, "", way_out)


def note_code(directory: RunDirectory, config: RunConfig, checkpoint: Checkpoint | None) -> bool:
    """Record the user's code for this start; returns whether it is another than that which the
    checkpoint was made with, which a warning then says.
    """
    starts = directory.starts()
    if not starts:
        return False
    code = code_of(config)
    generation = None if checkpoint is None else checkpoint.generation
    directory.note(code=code, resumed=generation)
    return generation is not None and warn_of_changes(
        f"{directory.path}: the run continues with the new code and keeps no best value of the old",
        code_at(starts[:-1], generation),
        code,
    )


def warn_of_changes(consequence: str, before: Code, now: Code) -> bool:
    """Warn of code that is not what it was; returns whether there is such code."""
    changed = changes(before, now)
    if changed:
        warnings.warn(
            f"{consequence}, since the code of {listed(changed)} has changed; restore it to get "
            f"the old result, or begin a new run",
            stacklevel=2,
        )
    return bool(changed)


@contextmanager
def blaming_code(directory: RunDirectory, config: RunConfig, generation: int) -> Iterator[None]:
    """Let a `UserError` name the user's code if this has changed since a generation: a checkpoint
    need not fit other code.
    """
    try:
        yield
    except UserError as error:
        changed = changes(code_at(directory.starts()[:-1], generation), code_of(config))
        if not changed:
            raise
        raise UserError(
            f"{directory.path} must be resumed with code that its checkpoint fits, but that of "
            f"{listed(changed)} has changed; restore the code, or begin a new run"
        ) from error


@contextmanager
def restoring(checkpoint: Checkpoint) -> Iterator[Groups]:
    """Give the arrays of a checkpoint by their parts, and turn what the ``with`` block raises about
    them into a `UserError`.
    """
    groups: Groups = {part: {} for part in _PARTS}
    try:
        for name, array in checkpoint.arrays.items():
            part, _, key = name.partition("/")
            groups[part][key] = array
        _check_counters(checkpoint.counters)
        yield groups
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise UserError(
            f"checkpoint {checkpoint.name} must fit the run's config.json, but: {error}; restore "
            f"both from one copy"
        ) from error


def restore_part(name: str, part: Part, groups: Groups, dimension: int) -> None:
    """Restore a part from its arrays, once they have the names, dtypes and shapes of its own state.

    Arrays whose names begin as one of the part's ``varying_state`` are optional. Raises ValueError.
    """
    fresh = part.state()
    found = groups[name]
    varying = getattr(part, "varying_state", ())  # optional in custom strategies
    required, got = (
        {key for key in arrays if not key.startswith(varying)} for arrays in (fresh, found)
    )
    if required != got:
        raise ValueError(f"the {name} must have {sorted(required)}, got {sorted(got)}")

    for key, array in found.items():
        like = fresh.get(key)
        if like is not None and not _is_like(array, like, name == "problem", dimension):
            raise ValueError(
                f"{name}/{key} must be as {like.dtype} of {like.shape}, got {array.dtype} of "
                f"{array.shape}"
            )
    part.restore(found)


def _is_like(array: NDArray[Any], like: NDArray[Any], fixed: bool, dimension: int) -> bool:
    """Whether an array can stand for another; axes that are not of parameters grow with a run."""
    if array.dtype != like.dtype or array.ndim != like.ndim:
        return False
    return all(
        size == own or not (fixed or (own == dimension > 1))
        for size, own in zip(array.shape, like.shape, strict=True)
    )


def check_shape(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raises ValueError unless an array is float64 of a shape."""
    if array.shape != shape or array.dtype != np.float64:
        raise ValueError(
            f"{name} must be float64 of shape {shape}, got {array.dtype} of {array.shape}"
        )


def _check_counters(counters: Mapping[str, Any]) -> None:
    """Raises ValueError for counters that are not numbers, or an invalid row."""
    if not set(counters) >= _COUNTERS:
        raise ValueError(f"the counters must have {sorted(_COUNTERS)}, got {sorted(counters)}")
    for name, value in counters.items():
        if name == "row":
            if not is_row(value):
                raise ValueError("the unwritten row is none")
            continue
        if value is None and name in ("best_fitness", "last_eval"):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"the counter {name} must be a number, got {value!r:.40}")


def check_finished(
    finished: Mapping[int, bytes], population_size: int, problem: AnyProblem
) -> None:
    """Raises ValueError for results of chunks that the population does not have, or of another
    length.
    """
    together = problem.members_together(population_size)
    bounds = chunks(population_size, evaluation_chunk_size(population_size, together))
    for unit, result in finished.items():
        if not 0 <= unit < len(bounds):
            raise ValueError(f"a finished chunk must be among {len(bounds)}, got {unit}")
        unpack_chunk(result, *bounds[unit], population_size, problem.array_specs("episode"))
