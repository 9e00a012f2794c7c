"""Goal-conditioned environments: gymnasium's goal API, and the problem whose episodes aim at goals
of a list.

Modules: `goal_api` (reading and setting goals), `problem`.
"""
