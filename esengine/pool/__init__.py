"""A generation over the ranks: the master's and the workers' ends.

Modules: `pool` (the master's end), `worker`, `startup` (what every rank does first), `rank_state`
(what a rank works on), `worklist` and `dispatch` (units of work, and who gets them), `task_runner`,
`workers` (who lives, and replacements), `publishing` (state to the nodes), `population` (sums over
the members), `fault_rules`.
"""

from esengine.pool.pool import Pool
from esengine.pool.population import Population

__all__ = ["Pool", "Population"]
