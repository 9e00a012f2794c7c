"""A policy as named arrays, which every export is written from."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.policies import Policy
from esengine.policies.forward_pass import input_bounds


@dataclass(frozen=True)
class Network:
    """What a policy computes when it takes the mode of its distribution.

    Attributes:
        weights: of each layer, (outputs, inputs) float32; all but the last are followed by tanh.
        biases: of each layer, (outputs,) float32.
        scaling: ``observation_mean``, ``observation_inverse_std`` and ``observation_bound``, the
            largest absolute value of a scaled observation, (observation_dim,) float32 each.
        bounds: ``action_center``, ``action_reach``, ``action_low``, ``action_high`` of a box,
            (num_choices,) float32.
        head: kind, sizes, starts, shape, dtype and mixture components of the action, and the
            environment's id, for JSON.
    """

    weights: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]
    scaling: dict[str, NDArray[np.float32]]
    bounds: dict[str, NDArray[np.float32]]
    head: dict[str, Any]


def network_of(policy: Policy) -> Network:
    """The arrays of a policy; a sampled one loses its spread."""
    spec = policy.spec
    weights = []
    biases = []
    offset = 0
    for inputs, outputs in itertools.pairwise(spec.layer_sizes):
        end = offset + inputs * outputs
        weights.append(policy.parameters[offset:end].reshape(inputs, outputs).T.copy())
        biases.append(policy.parameters[end : end + outputs].copy())
        offset = end + outputs

    scaling = {
        "observation_mean": policy.observation_mean,
        "observation_inverse_std": policy.observation_inverse_std,
        "observation_bound": input_bounds(policy.observation_mean, policy.observation_inverse_std),
    }
    action = spec.action
    bounds = {}
    if action.kind == "box":
        bounds = {
            "action_center": np.asarray(action.center(), np.float32),
            "action_reach": np.asarray(action.reach(), np.float32),
            "action_low": np.asarray(action.low, np.float32),
            "action_high": np.asarray(action.high, np.float32),
        }
    head = {
        "kind": action.kind,
        "sizes": list(action.sizes),
        "starts": list(action.starts or (0,) * len(action.sizes)),
        "shape": list(action.shape),
        "dtype": action.dtype,
        "components": spec.components,
        "env_id": policy.environment.env_id,
    }
    return Network(tuple(weights), tuple(biases), scaling, bounds, head)
