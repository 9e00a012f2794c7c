"""Our CMA-ES beside the ``cma`` package: evaluations to a target, BBOB, costs of a generation,
large populations.
"""
