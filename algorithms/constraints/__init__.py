"""Constraints for every strategy, which is told a fitness that contains them."""

from esengine.algorithms.constraints.lagrangian import AugmentedLagrangian, violations

__all__ = ["AugmentedLagrangian", "violations"]
