"""Policies: the network that acts, the scaling of its observations, and its file.

Modules: `network` (architecture, parameters, actions), `forward_pass` (the compiled network),
`normalizer` (running statistics of observations), `densities` (probabilities of actions),
`policy_file` and `network_file` (saving and loading) and `torch_network` (the same network for
gradients, which imports torch).
"""

from esengine.policies.network import BOX, MIXTURE, Actor, PolicySpec, act, decode
from esengine.policies.normalizer import RunningStatistics, accumulate, merge_moments
from esengine.policies.policy_file import Policy, load_policy, save_policy

__all__ = [
    "BOX",
    "MIXTURE",
    "Actor",
    "Policy",
    "PolicySpec",
    "RunningStatistics",
    "accumulate",
    "act",
    "decode",
    "load_policy",
    "merge_moments",
    "save_policy",
]
