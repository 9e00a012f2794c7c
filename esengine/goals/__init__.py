"""Goal-conditioned environments, and the problem whose episodes aim at goals of a list.

Modules: `goal_api` (reading and setting the goals of gymnasium's goal API) and `problem`.
"""

from esengine.goals.goal_api import GoalLayout
from esengine.goals.problem import GoalList, GoalProblem

__all__ = ["GoalLayout", "GoalList", "GoalProblem"]
