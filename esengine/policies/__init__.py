"""Policies: the network that acts, the scaling of its observations, and its file.

Modules: `network` (architecture, parameters, compiled forward pass), `normalizer` (running
statistics of observations), `densities` (probabilities of actions), `policy_file` and
`network_file` (saving and loading) and `torch_network` (the same network for gradients, which
imports torch).
"""

from esengine.policies.network import Actor, PolicySpec
from esengine.policies.normalizer import RunningStatistics
from esengine.policies.policy_file import Policy, load_policy, save_policy

__all__ = ["Actor", "Policy", "PolicySpec", "RunningStatistics", "load_policy", "save_policy"]
