"""The columns of ``metrics.jsonl``. A new column is added here, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.strategy import RoundMethod, Strategy
from esengine.launch.runs.json_lines import Row
from esengine.pool import Pool
from esengine.problems import FAILED, OK, EnvironmentProblem, ObjectiveProblem
from esengine.problems.columns import ARRAY, columns_of
from esengine.problems.evaluations import Evaluations
from esengine.rewards.episodes import RewardedEpisodes, true_return

_HUGE = 1e100  # whose square does not overflow in a sum
_QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)  # of the population's fitness, for its cloud


def generation_row(
    strategy: Strategy,
    problem: EnvironmentProblem | ObjectiveProblem,
    evaluations: Evaluations,
    counters: Mapping[str, Any],
    metrics: Mapping[str, float],
    pool: Pool,
) -> Row:
    """The row of a strategy's generation; ``metrics`` are those of the strategy and of what works
    with it.
    """
    records = evaluations.records
    row: Row = {
        "generation": strategy.generation,
        "population_size": strategy.population_size,
    }
    row |= _fitness_columns(records, isinstance(problem, ObjectiveProblem) and problem.minimize)
    if isinstance(problem, EnvironmentProblem) and problem.find(RewardedEpisodes) is not None:
        row["episode_return_mean"] = true_return(evaluations.arrays)
    if isinstance(problem, EnvironmentProblem):
        num_episodes = max(1, records["episodes"].sum())
        row["episode_steps_mean"] = float(records["steps"].sum() / num_episodes)
    row |= _columns_of_members(problem, evaluations, row)
    row |= _used(counters)
    row["failed_members"] = int(np.sum(records["status"] == FAILED))
    row |= metrics
    if isinstance(problem, EnvironmentProblem) and problem.limits.cap is not None:
        row["episode_cap"] = problem.limits.cap

    wall_s = max(evaluations.wall_s, 1e-9)
    row["machine"] = {
        **_machine_columns(pool, int(records["steps"].sum() or len(records)) / wall_s),
        "busy_share": round(evaluations.busy_s / wall_s / pool.world.num_workers, 4),
        "lost_workers": pool.num_lost,
    }
    return row


def round_row(
    method: RoundMethod, counters: Mapping[str, Any], pool: Pool, rate: float, num_failed: int
) -> Row:
    """The row of a round of a method that evaluates by itself; ``rate`` is its steps per second,
    and ``num_failed`` the number of its members, or recorded episodes, that failed.
    """
    return {
        "generation": method.generation,
        **_used(counters),
        "failed_members": num_failed,
        **method.metrics(),
        "machine": _machine_columns(pool, rate),
    }


def evaluation_columns(returns: NDArray[np.float64]) -> Row:
    """What an evaluation of the policy found; its episodes that failed have the return NaN."""
    return {
        "episode_return_eval": mean_return(returns),
        "failed_eval_episodes": int(np.isnan(returns).sum()),
    }


def episode_returns(records: NDArray[Any]) -> NDArray[np.float64]:
    """(episodes,) returns of a policy's episodes, NaN where one failed."""
    return np.where(records["status"] == FAILED, np.nan, records["fitness"])


def mean_return(returns: NDArray[np.float64]) -> float | None:
    """The mean over the episodes that did not fail, None if all did."""
    known = returns[~np.isnan(returns)]
    return _moments(known)[0] if known.size else None


def _fitness_columns(records: NDArray[Any], minimize: bool) -> Row:
    """Mean, maximum, spread and quantiles of the fitness of the members that did not fail."""
    fitness = records["fitness"][records["status"] == OK]
    mean, spread = _moments(fitness) if fitness.size else (None, None)
    unit = _unit_of(fitness)
    quantiles = (np.quantile(fitness / unit, _QUANTILES) * unit).tolist() if fitness.size else None
    row: Row = {
        "fitness_mean": mean,
        "fitness_max": float(fitness.max()) if fitness.size else None,
        "fitness_std": spread,
        "fitness_quantiles": quantiles,
    }
    if minimize:
        row["cost_min"] = -row["fitness_max"] if fitness.size else None
    return row


def _moments(values: NDArray[np.float64]) -> tuple[float, float]:
    """The mean and the standard deviation, which do not overflow for huge values."""
    unit = _unit_of(values)
    scaled = values / unit
    return float(scaled.mean()) * unit, float(scaled.std()) * unit


def _unit_of(values: NDArray[np.float64]) -> float:
    """What to divide values by before they are added or squared: 1 unless that would overflow."""
    largest = float(np.max(np.abs(values), initial=0.0))
    return largest if _HUGE < largest < np.inf else 1.0


def _columns_of_members(
    problem: EnvironmentProblem | ObjectiveProblem, evaluations: Evaluations, row: Row
) -> Row:
    """Quantiles of each column beside the value, over the members that returned it; and the best
    of the feasible members alone, where there are constraints.
    """
    columns = columns_of(problem)
    if columns is None:
        return {}
    numbers = evaluations.arrays[ARRAY]
    found: Row = {}
    for column, own in zip(columns.others, numbers.T, strict=True):
        finite = own[np.isfinite(own)]
        found[column.name] = np.quantile(finite, _QUANTILES).tolist() if finite.size else None
    if not columns.constraints.size:
        return {"columns": found}

    feasible = (numbers[:, columns.constraints] <= 0).all(axis=1)
    feasible &= evaluations.records["status"] == OK
    fitness = evaluations.records["fitness"][feasible]
    best = {"fitness_max": float(fitness.max()) if fitness.size else None}
    if "cost_min" in row:
        best["cost_min"] = -float(fitness.max()) if fitness.size else None
    return {"columns": found, **best}


def _used(counters: Mapping[str, Any]) -> Row:
    """What the run has used so far."""
    return {name: counters[name] for name in ("env_steps", "evaluations")}


def _machine_columns(pool: Pool, rate: float) -> Row:
    """How fast the ranks worked: never the same twice."""
    return {"workers": pool.world.num_workers, "steps_per_s": round(rate, 1)}
