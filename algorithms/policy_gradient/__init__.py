"""The policy gradient, on whole episodes from the pool.

Modules: `ppo`, `advantages`.
"""
