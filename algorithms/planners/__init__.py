"""Planners: from a state of a simulator, the controls of the next steps. Their actions are labels
that policies imitate.
"""

from esengine.algorithms.planners.contract import Plan, Planner
from esengine.algorithms.planners.cross_entropy import CrossEntropy
from esengine.algorithms.planners.expert import PlannerExpert
from esengine.algorithms.planners.guided_expert import GuidedExpert
from esengine.algorithms.planners.ilqr import ILQR
from esengine.algorithms.planners.mppi import MPPI
from esengine.algorithms.planners.skills import SkillExpert, SkillPlanner

__all__ = [
    "ILQR",
    "MPPI",
    "CrossEntropy",
    "GuidedExpert",
    "Plan",
    "Planner",
    "PlannerExpert",
    "SkillExpert",
    "SkillPlanner",
]
