"""Goals: which to aim at next, and what an episode teaches about the goal that it reached instead.

Modules: `curriculum`, `hindsight`.
"""
