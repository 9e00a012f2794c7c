"""Learned rewards: the network, its file, and the problem that pays by one.

Modules: `network`, `file`, `source` (a learned reward, the environment's own, and a potential
together), `problem` (episodes that are paid by a source), `sampling` (steps of members that come
back to the learner).
"""

from esengine.rewards.sampling import SamplingProblem, Steps

__all__ = ["SamplingProblem", "Steps"]
