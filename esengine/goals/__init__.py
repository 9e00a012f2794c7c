"""Goal-conditioned environments, and episodes that aim at goals of a list.

Modules: `goal_api` (reading and setting the goals of gymnasium's goal API) and `episodes` (the part
of a problem with goals).
"""

from esengine.goals.episodes import GoalEpisodes, GoalList
from esengine.goals.goal_api import GoalLayout

__all__ = ["GoalEpisodes", "GoalLayout", "GoalList"]
