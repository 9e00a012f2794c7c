"""Plans as candidates: all ranks run the control sequences that a planner compares.

Module: `problem` (the problem whose members are control sequences, and the simulator that a planner
uses).
"""

from esengine.planning.problem import PlanningProblem, PooledDynamics

__all__ = ["PlanningProblem", "PooledDynamics"]
