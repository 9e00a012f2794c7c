"""Rows of metrics as runs write them."""

from __future__ import annotations

from typing import Any


def row(generation: int, **more: Any) -> dict[str, Any]:
    return {
        "generation": generation, "population_size": 4, "fitness_mean": 1.5, "fitness_max": 2.5, "env_steps": 100 * generation,
        "evaluations": 4, "failed_members": 1, "sigma": 0.25,
        "machine": {"steps_per_s": 1234.5, "busy_share": 0.97, "workers": 2, "elapsed_s": 2.0 * generation}, **more,
    }  # fmt: skip


def curve_row(generation: int, value: float) -> dict[str, Any]:
    return {
        "generation": generation, "fitness_mean": value, "fitness_max": value + 1, "fitness_std": 1.0,
        "fitness_quantiles": [value + offset for offset in (-3, -2, -1, 0, 1, 2, 3)], "env_steps": 100 * generation,
        "evaluations": 8 * generation, "sigma": 0.5, "episode_return_eval": value, "machine": {
            "elapsed_s": 36.0 * generation, "workers": 2, "busy_share": 0.5, "seconds": {"evaluate": 30.0, "publish": 2.0}},
    }  # fmt: skip
