"""A policy taken apart into named arrays, which every export is written from."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.policies.network import OBSERVATION_CLIP
from esengine.policies.policy_file import Policy


@dataclass(frozen=True)
class Network:
    """What a policy computes when it takes the mode of its distribution.

    Attributes:
        weights: of each layer, (outputs, inputs) float32; all but the last are followed by tanh.
        biases: of each layer, (outputs,) float32.
        scaling: ``observation_mean`` and ``observation_inverse_std``, (observation_dim,) float32.
        bounds: ``action_center``, ``action_reach``, ``action_low``, ``action_high`` of a box,
            (num_choices,) float32.
        head: kind, sizes, starts, shape, dtype and mixture components of the action, the clip of
            scaled observations and the environment's id, for JSON.
    """

    weights: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]
    scaling: dict[str, NDArray[np.float32]]
    bounds: dict[str, NDArray[np.float32]]
    head: dict[str, Any]


def network_of(policy: Policy) -> Network:
    """Take a policy apart; a sampled one loses its spread."""
    spec, action = policy.spec, policy.spec.action
    weights, biases, offset = [], [], 0
    for inputs, outputs in itertools.pairwise(spec.layer_sizes):
        weights.append(
            policy.parameters[offset : offset + inputs * outputs].reshape(inputs, outputs).T.copy()
        )
        offset += inputs * outputs
        biases.append(policy.parameters[offset : offset + outputs].copy())
        offset += outputs
    bounds = {
        "center": action.center(),
        "reach": action.reach(),
        "low": action.low,
        "high": action.high,
    }
    return Network(
        tuple(weights),
        tuple(biases),
        {
            "observation_mean": policy.observation_mean,
            "observation_inverse_std": policy.observation_inverse_std,
        },
        {f"action_{name}": np.asarray(values, np.float32) for name, values in bounds.items()}
        if action.kind == "box"
        else {},
        {
            "kind": action.kind,
            "sizes": list(action.sizes),
            "starts": list(action.starts or (0,) * len(action.sizes)),
            "shape": list(action.shape),
            "dtype": action.dtype,
            "components": spec.components,
            "clip": float(OBSERVATION_CLIP),
            "env_id": policy.environment.env_id,
        },
    )
