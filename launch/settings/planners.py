"""The planners that ``--planner`` names, and their settings from ``--planner-arg``."""

from __future__ import annotations

from typing import Any, Literal, get_args

from esengine.algorithms.planners import ILQR, MPPI, CrossEntropy, Planner, SkillPlanner
from esengine.checks import named_values
from esengine.errors import UserError, listed
from esengine.launch.settings.settings_values import settings_from

PlannerName = Literal["mppi", "cross-entropy", "ilqr"]

_PLANNERS: dict[str, type[Any]] = {"mppi": MPPI, "cross-entropy": CrossEntropy, "ilqr": ILQR}
assert set(_PLANNERS) == set(get_args(PlannerName))


def load_planner(name: str, arguments: tuple[str, ...]) -> Planner:
    """The planner of a name.

    Args:
        name: of the table.
        arguments: settings, each name=value.

    Raises:
        UserError: there is no such setting, or it defines no planner.
    """
    planner: Planner = settings_from(
        _PLANNERS[name], named_values("--planner-arg", arguments, "horizon=50")
    )
    planner.check()
    return planner


def load_skill_planner(arguments: tuple[str, ...]) -> SkillPlanner:
    """The search over skills. Raises UserError for settings that it does not have, or that search
    nothing.
    """
    planner = settings_from(
        SkillPlanner, named_values("--planner-arg", arguments, "skill_steps=20")
    )
    planner.check()
    return planner


def check_planner(name: str | None, arguments: tuple[str, ...]) -> None:
    """Raises UserError for settings that define no planner, or that belong to none."""
    if name is not None:
        load_planner(name, arguments)
    elif arguments:
        raise UserError(
            f"--planner-arg must go with --planner, got {listed(arguments)}; name mppi, "
            f"cross-entropy or ilqr"
        )
