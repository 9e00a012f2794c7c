"""Plans as candidates: all ranks run the control sequences that a planner compares.

Module: `candidates` (the part of a problem whose ranks run control sequences, and the simulator
that a planner uses).
"""

from esengine.planning.candidates import PlanCandidates, PooledDynamics, record_here

__all__ = ["PlanCandidates", "PooledDynamics", "record_here"]
