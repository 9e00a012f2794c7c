"""The planners of ``--planner``, with their settings from ``--planner-arg``."""

from __future__ import annotations

from typing import Any, Literal, get_args

from esengine.algorithms.planners import (
    ILQR,
    MPPI,
    CrossEntropy,
    FittedILQR,
    Planner,
    SkillPlanner,
)
from esengine.checks import named_values
from esengine.errors import UserError, listed
from esengine.launch.settings.settings_values import settings_from

PlannerName = Literal["mppi", "cross-entropy", "ilqr"]
DynamicsName = Literal["simulator", "fitted", "learned"]

_PLANNERS: dict[str, type[Any]] = {"mppi": MPPI, "cross-entropy": CrossEntropy, "ilqr": ILQR}
assert set(_PLANNERS) == set(get_args(PlannerName))


def load_planner(name: str, arguments: tuple[str, ...]) -> Planner:
    """The planner of a name.

    Args:
        name: one of `PlannerName`.
        arguments: its settings, each name=value.

    Raises:
        UserError: a setting is unknown or invalid.
    """
    values = named_values("--planner-arg", arguments, "horizon=50")
    planner: Planner = settings_from(_PLANNERS[name], values)
    planner.check()
    return planner


def load_fitted(arguments: tuple[str, ...]) -> FittedILQR:
    """The settings of ``--planner ilqr --dynamics fitted``. Raises UserError."""
    values = named_values("--planner-arg", arguments, "num_rollouts=5")
    settings: FittedILQR = settings_from(FittedILQR, values)
    settings.check()
    return settings


def load_skill_planner(arguments: tuple[str, ...]) -> SkillPlanner:
    """The search over skills. Raises UserError for unknown or invalid settings."""
    values = named_values("--planner-arg", arguments, "skill_steps=20")
    planner = settings_from(SkillPlanner, values)
    planner.check()
    return planner


def check_planner(
    name: str | None,
    arguments: tuple[str, ...],
    dynamics: DynamicsName = "simulator",
    model: str | None = None,
) -> None:
    """Raises UserError for invalid settings of a planner, and for settings without a planner."""
    if (model is not None) != (dynamics == "learned"):
        raise UserError(
            f"--model must go with --dynamics learned, got --model {model} and --dynamics "
            f"{dynamics}; give both or none"
        )
    if dynamics == "learned" and name not in ("mppi", "cross-entropy"):
        raise UserError(
            f"--dynamics learned must be used with --planner mppi or cross-entropy, got {name}; "
            f"use one of them"
        )
    if dynamics == "fitted":
        if name != "ilqr":
            raise UserError(
                f"--dynamics fitted must be used with --planner ilqr, whose feedback it fits, got "
                f"{name}; use --planner ilqr"
            )
        load_fitted(arguments)
    elif name is not None:
        load_planner(name, arguments)
    elif arguments:
        raise UserError(
            f"--planner-arg must go with --planner, got {listed(arguments)}; name mppi, "
            f"cross-entropy or ilqr"
        )
