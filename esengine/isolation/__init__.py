"""Evaluations in a child of the rank that never touched MPI, so that a crash costs a fork.

Modules: `zygote` (the process that was forked before MPI started, and forks children), `requests`
(what goes to a child and comes back), `evaluator` (the rank's side: time-outs and deaths).
"""

from esengine.isolation.evaluator import IsolatedEvaluator
from esengine.isolation.zygote import Zygote, fork_zygote, zygote_of_process

__all__ = ["IsolatedEvaluator", "Zygote", "fork_zygote", "zygote_of_process"]
