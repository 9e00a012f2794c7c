"""Going on from a checkpoint: what it must hold to fit the run that reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.novelty import Novelty
from esengine.candidates import chunks, evaluation_chunk_size
from esengine.errors import UserError
from esengine.launch.runs.metrics_file import is_row
from esengine.launch.training.initial_policy import JumpStart
from esengine.launch.training.problem_from_settings import AnyProblem
from esengine.problems import MEMBER, EnvironmentProblem, ObjectiveProblem
from esengine.storage.checkpoint import Checkpoint

Arrays = dict[str, NDArray[Any]]


def restore(
    checkpoint: Checkpoint,
    strategy: Any,
    problem: AnyProblem,
    jump: JumpStart | None = None,
    novelty: Novelty | None = None,
) -> tuple[Any, NDArray[np.float64] | None]:
    """Bring a new strategy and a new problem to the state of a checkpoint.

    Args:
        checkpoint: what was saved.
        strategy: a new one of the run's settings.
        problem: a new one.
        jump: the start from a policy, which has a strategy of its own, or None.
        novelty: a new archive, or None.

    Returns:
        the strategy, and the best point if there is one.

    Raises:
        UserError: the checkpoint is whole, but not of a run with these settings.
    """
    groups: dict[str, Arrays] = {
        "strategy": {},
        "problem": {},
        "best": {},
        "jump": {},
        "novelty": {},
        "goals": {},
    }
    try:
        for name, array in checkpoint.arrays.items():
            group, _, key = name.partition("/")
            groups[group][key] = array
        _check_counters(checkpoint.counters)
        if hasattr(
            strategy, "population_size"
        ):  # the chunks of methods that are no strategies are recorded episodes
            _check_finished(checkpoint.finished, strategy.population_size, problem)
        if jump is not None:
            _restore_part("jump", jump.state(), groups["jump"], jump.restore, problem.dimension)
            strategy = jump.strategy()
        varying = getattr(strategy, "varying_state", ())
        _restore_part(
            "strategy",
            strategy.state(),
            groups["strategy"],
            strategy.restore,
            problem.dimension,
            varying,
        )
        if strategy.generation != checkpoint.generation:
            raise ValueError(f"its strategy is at generation {strategy.generation}")
        if novelty is not None:
            _restore_part(
                "novelty", novelty.state(), groups["novelty"], novelty.restore, problem.dimension
            )
        if isinstance(problem, EnvironmentProblem):
            _restore_part(
                "problem", problem.state(), groups["problem"], problem.restore, problem.dimension
            )
        point, size = groups["best"].get("point"), num_variables(problem)
        if point is not None and (point.shape != (size,) or point.dtype != np.float64):
            raise ValueError(
                f"best/point must be float64 of shape ({size},), got {point.dtype} of {point.shape}"
            )
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise UserError(
            f"checkpoint {checkpoint.name} must fit the run's config.json, but: {error}; restore "
            f"both from one copy"
        ) from error
    return strategy, point


def num_variables(problem: AnyProblem) -> int:
    """Numbers of a point of the problem, which may be more than are searched."""
    space = problem.space if isinstance(problem, ObjectiveProblem) else None
    return problem.dimension if space is None else space.num_variables


def _restore_part(
    part: str,
    fresh: Arrays,
    found: Arrays,
    take: Callable[[Arrays], None],
    dimension: int,
    varying: tuple[str, ...] = (),
) -> None:
    """Have a part take its arrays, once they have the names, kinds and shapes that it would give
    itself.

    Arrays whose names begin as one of ``varying`` may be there or not.
    """
    required, got = (
        {name for name in arrays if not name.startswith(varying)} for arrays in (fresh, found)
    )
    if required != got:
        raise ValueError(f"the {part} must have {sorted(required)}, got {sorted(got)}")
    for name, array in found.items():
        like = fresh.get(name)
        if like is not None and not _is_like(array, like, part == "problem", dimension):
            raise ValueError(
                f"{part}/{name} must be as {like.dtype} of {like.shape}, got {array.dtype} of "
                f"{array.shape}"
            )
    take(found)


def _is_like(array: NDArray[Any], like: NDArray[Any], fixed: bool, dimension: int) -> bool:
    """Whether an array can stand for another; axes that are not of parameters grow with a run."""
    if array.dtype != like.dtype or array.ndim != like.ndim:
        return False
    return all(
        size == own or not (fixed or (own == dimension > 1))
        for size, own in zip(array.shape, like.shape, strict=True)
    )


def _check_counters(counters: Mapping[str, Any]) -> None:
    """Raises ValueError for counters that are no numbers, or a row that is none."""
    required = {"env_steps", "evaluations", "elapsed_s", "best_fitness"}
    if not required <= set(counters):
        raise ValueError(f"the counters must have {sorted(required)}, got {sorted(counters)}")
    for name, value in counters.items():
        optional = name in ("best_fitness", "last_eval") and value is None
        if name == "row" and not is_row(value):
            raise ValueError("the unwritten row is none")
        if (
            name != "row"
            and not optional
            and (isinstance(value, bool) or not isinstance(value, int | float))
        ):
            raise ValueError(f"the counter {name} must be a number, got {value!r:.40}")


def _check_finished(
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
        start, stop = bounds[unit]
        expected = (stop - start) * MEMBER.itemsize + problem.num_statistics * 8
        if len(result) != expected:
            raise ValueError(
                f"the finished chunk {unit} must have {expected} bytes, got {len(result)}"
            )
