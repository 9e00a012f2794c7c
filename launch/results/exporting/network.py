"""A policy as named arrays, which every export is written from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.policies import Policy
from esengine.policies.forward_pass import input_bounds
from esengine.policies.layers import (
    DENSE,
    ELU,
    GRU,
    IDENTITY,
    LAYER_NORM,
    LSTM,
    RELU,
    TANH,
    Layer,
    state_size_of,
)

KINDS = {DENSE: "dense", LAYER_NORM: "layer-norm", GRU: "gru", LSTM: "lstm"}
ACTIVATIONS = {IDENTITY: "identity", TANH: "tanh", RELU: "relu", ELU: "elu"}


@dataclass(frozen=True)
class ExportedLayer:
    """One layer.

    Attributes:
        kind: of `KINDS`.
        activation: of `ACTIVATIONS`, applied to its outputs.
        arrays: float32, with the names and the layout of torch's module of this kind.
    """

    kind: str
    activation: str
    arrays: dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Network:
    """What a policy computes when it takes the mode of its distribution.

    Attributes:
        layers: the first one first.
        scaling: ``observation_mean``, ``observation_inverse_std`` and ``observation_bound``, the
            largest absolute value of a scaled observation, (observation_dim,) float32 each.
        bounds: ``action_center``, ``action_reach``, ``action_low``, ``action_high`` of a box,
            (num_choices,) float32.
        head: kind, sizes, starts, shape, dtype and mixture components of the action, the kinds and
            activations of layers, the size of the state of recurrent ones, and the environment's
            id, for JSON.
    """

    layers: tuple[ExportedLayer, ...]
    scaling: dict[str, NDArray[np.float32]]
    bounds: dict[str, NDArray[np.float32]]
    head: dict[str, Any]


def network_of(policy: Policy) -> Network:
    """The arrays of a policy; a sampled one loses its spread."""
    spec = policy.spec
    layers = []
    offset = 0
    for layer in spec.layers:
        own = policy.parameters[offset : offset + layer.num_parameters]
        offset += layer.num_parameters
        arrays = _arrays(layer, own)
        layers.append(ExportedLayer(KINDS[layer.kind], ACTIVATIONS[layer.activation], arrays))

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
        "layers": [[layer.kind, layer.activation] for layer in layers],
        "state_size": state_size_of(spec.layers),
        "env_id": policy.environment.env_id,
    }
    return Network(tuple(layers), scaling, bounds, head)


def _arrays(layer: Layer, parameters: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """The parameters of a layer, see `ExportedLayer`."""
    if layer.kind == LAYER_NORM:
        gains, biases = np.split(parameters, 2)
        return {"weight": gains.copy(), "bias": biases.copy()}

    arrays = {}
    offset = 0
    endings = ("_ih", "_hh") if layer.state_size else ("",)
    for ending, (inputs, outputs) in zip(endings, layer.shapes, strict=True):
        end = offset + inputs * outputs
        arrays[f"weight{ending}"] = parameters[offset:end].reshape(inputs, outputs).T.copy()
        arrays[f"bias{ending}"] = parameters[end : end + outputs].copy()
        offset = end + outputs
    return arrays
