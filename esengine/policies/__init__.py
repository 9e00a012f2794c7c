"""Policies: the network that acts, the scaling of its observations, and its file.

Modules: `network` (architecture, parameters, acting); `layers` (what networks are made of),
`layer_kernels`, `convolution` and `forward_pass` (the compiled network), `heads` (from its outputs
to actions); `module_network` (a user's torch module), `torch_network` (compiled layers for
gradients), which import torch; `normalizer` (running statistics of observations), `densities`
(probabilities of actions); `policy_file` and `network_file` (saving and loading), `foreign_policy`
(networks of other libraries).
"""

from esengine.policies.heads import BOX, MIXTURE, decode
from esengine.policies.network import Actor, PolicySpec, act
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
