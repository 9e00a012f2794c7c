"""The evaluation of a generation on all ranks.

Modules: `on_all_ranks` (the entry point), `pool` (the master's end), `worker`, `startup` (noise
table and kernels), `rank_state` (what a rank works on), `worklist` and `dispatch` (units of work,
and their assignment), `task_runner`, `workers` (those alive, and replacements), `publishing` (state
to the nodes), `population` (sums over the members), `life_sign` and `fault_rules`.
"""

from esengine.pool.fault_rules import FaultRules, WorkerRules
from esengine.pool.on_all_ranks import Built, on_all_ranks
from esengine.pool.pool import Pool
from esengine.pool.population import Population
from esengine.pool.rank_state import RankState

__all__ = ["Built", "FaultRules", "Pool", "Population", "RankState", "WorkerRules", "on_all_ranks"]
