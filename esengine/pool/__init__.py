"""The evaluation of a generation on all ranks.

Modules: `on_all_ranks` (the entry point), `pool` (the master's end for one run), `master` and
`turns` (what several runs share), `worker`, `startup` (noise table and kernels), `rank_state` and
`rank_states` (what a rank works on), `work`, `worklist` and `dispatch` (units of work, and their
assignment), `alone` (without workers), `task_runner`, `workers` (those alive, and replacements),
`publishing` (state to the nodes), `population` (sums over the members), `life_sign` and
`fault_rules`.
"""

from esengine.pool.fault_rules import FaultRules, WorkerRules
from esengine.pool.on_all_ranks import Built, Part, on_all_ranks, several_on_all_ranks
from esengine.pool.pool import Pool, Submitted
from esengine.pool.population import Population
from esengine.pool.rank_state import RankState

__all__ = [
    "Built",
    "FaultRules",
    "Part",
    "Pool",
    "Population",
    "RankState",
    "Submitted",
    "WorkerRules",
    "on_all_ranks",
    "several_on_all_ranks",
]
