"""Plans as candidates: all ranks run the control sequences that a planner compares.

Modules: `problem`.
"""
