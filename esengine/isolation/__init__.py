"""Evaluations outside of the rank: in a child that never touched MPI, so that a crash costs a fork,
or in a team of ranks that are an MPI world of their own.

Modules: `zygote` (the process that was forked before MPI started, and forks children), `teams` (the
worlds, and the side of their ranks), `requests` (what goes there and comes back), `evaluator` (the
rank's side: time-outs and deaths).
"""

from esengine.isolation.evaluator import Isolated, IsolatedEvaluator
from esengine.isolation.zygote import Zygote, fork_zygote, zygote_of_process

__all__ = ["Isolated", "IsolatedEvaluator", "Zygote", "fork_zygote", "zygote_of_process"]
