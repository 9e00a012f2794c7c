"""What a row of ``metrics.jsonl`` tells of a generation's evaluations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.launch.runs.metrics_file import Row
from esengine.problems import FAILED, OK, STOPPED
from esengine.problems.episode_limits import EpisodeLimits
from esengine.problems.evaluations import Evaluations
from esengine.ranks.world import World

_QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)  # of the population's fitness, for its cloud


def fitness_columns(records: NDArray[Any], minimize: bool) -> Row:
    """Mean, greatest, spread and quantiles of the fitness of the members that neither failed nor
    were stopped.
    """
    fitness = records["fitness"][records["status"] == OK]
    row: Row = {
        "fitness_mean": float(fitness.mean()) if fitness.size else None,
        "fitness_max": float(fitness.max()) if fitness.size else None,
        "fitness_std": float(fitness.std()) if fitness.size else None,
        "fitness_quantiles": np.quantile(fitness, _QUANTILES).tolist() if fitness.size else None,
    }
    if minimize:
        row["cost_min"] = -row["fitness_max"] if fitness.size else None
    return row


def episode_returns(records: NDArray[Any]) -> NDArray[np.float64]:
    """(episodes,) returns of a policy's episodes, NaN where one failed."""
    return np.where(records["status"] == FAILED, np.nan, records["fitness"])


def mean_return(returns: NDArray[np.float64]) -> float | None:
    """Of the episodes that did not fail, None if all did."""
    return None if np.isnan(returns).all() else float(np.nanmean(returns))


def limit_columns(limits: EpisodeLimits, records: NDArray[Any]) -> Row:
    """Where episodes were cut, and how many members were stopped, where there are such limits."""
    row: Row = {} if limits.cap is None else {"episode_cap": limits.cap}
    return row | (
        {"stopped_members": int(np.sum(records["status"] == STOPPED))} if limits.gate_step else {}
    )


def machine_columns(evaluations: Evaluations, world: World) -> Row:
    """How fast the ranks worked: never the same twice."""
    wall_s = max(evaluations.wall_s, 1e-9)
    rate = int(evaluations.records["steps"].sum() or len(evaluations.records)) / wall_s
    busy_share = evaluations.busy_s / wall_s / world.num_workers
    return {"ranks": world.size, "steps_per_s": round(rate, 1), "busy_share": round(busy_share, 4)}
