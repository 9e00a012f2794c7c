"""Planners compute the controls of the next steps from a state of a simulator.

Policies imitate their actions. Sampling planners: `mppi`, `cross_entropy` (shared: `sampling`).
Planners with derivatives: `ilqr` (with `quadratic_expansion` and `riccati`), `local_controllers`.
Controllers from rollouts alone: `fitted_controllers` (with `local_models`). Planners over saved
policies: `skills`. Experts that label episodes: `expert`, `guided_expert`, `fitted_controllers`.
"""

from esengine.algorithms.planners.contract import Plan, Planner
from esengine.algorithms.planners.cross_entropy import CrossEntropy
from esengine.algorithms.planners.expert import PlannerExpert
from esengine.algorithms.planners.fitted_controllers import (
    ControllerExpert,
    FittedControllers,
    FittedILQR,
)
from esengine.algorithms.planners.guided_expert import GuidedExpert, PlannedControllers
from esengine.algorithms.planners.ilqr import ILQR
from esengine.algorithms.planners.mppi import MPPI
from esengine.algorithms.planners.skills import SkillExpert, SkillMeasures, SkillPlanner

__all__ = [
    "ILQR",
    "MPPI",
    "ControllerExpert",
    "CrossEntropy",
    "FittedControllers",
    "FittedILQR",
    "GuidedExpert",
    "Plan",
    "PlannedControllers",
    "Planner",
    "PlannerExpert",
    "SkillExpert",
    "SkillMeasures",
    "SkillPlanner",
]
