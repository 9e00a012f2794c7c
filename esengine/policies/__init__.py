"""Policies: the network that acts, the scaling of its observations, and its file.

Modules: `network` (architecture, parameters, compiled forward pass), `normalizer` (running
statistics of observations), `densities` (probabilities of actions), `policy_file` (saving and
loading), `torch_network` (the same network as a module).
"""
