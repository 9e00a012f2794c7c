"""Imitation on Pendulum-v1 beside the `imitation` package: the same demonstrations, starts and
budgets.
"""
