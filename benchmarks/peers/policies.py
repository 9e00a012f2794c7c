"""The policies that every package evaluates: networks with two layers of 32 tanh units, as NumPy
arrays.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

HIDDEN = (32, 32)
SIZES = {
    "CartPole-v1": (4, *HIDDEN, 2),
    "Pendulum-v1": (3, *HIDDEN, 1),
    "HalfCheetah-v5": (17, *HIDDEN, 6),
}
"""Layer sizes by environment, the observation first and the output last."""

Layers = list[tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Weights (num_policies, inputs, outputs) and biases (num_policies, outputs) of each layer."""


def random_policies(env_id: str, count: int) -> Layers:
    """Policies whose parameters are N(0, 0.3^2): a first generation, whose CartPole episodes are
    short.
    """
    random = np.random.default_rng(0)

    def draw(*shape: int) -> NDArray[Any]:
        return (0.3 * random.standard_normal((count, *shape))).astype(np.float32)

    return [
        (draw(inputs, outputs), draw(outputs))
        for inputs, outputs in itertools.pairwise(SIZES[env_id])
    ]


def balancing_policies(count: int) -> Layers:
    """CartPole policies that hold the pole up to the limit of 500 steps: one chain of units, and
    noise on all parameters.
    """
    layers = [
        (0.03 * weights, 0.03 * biases) for weights, biases in random_policies("CartPole-v1", count)
    ]
    (first, _), (second, _), (last, _) = layers
    first[:, :, 0] += np.array([0.5, 1.0, 10.0, 3.0], np.float32)
    second[:, 0, 0] += 1
    last[:, 0] += np.array([-1, 1], np.float32)
    return layers


def policies(env_id: str, kind: str, count: int) -> Layers:
    """The policies of a comparison; ``kind`` is ``random`` or ``balancing``."""
    return balancing_policies(count) if kind == "balancing" else random_policies(env_id, count)


def flat(layers: Layers, outputs_first: bool = False) -> NDArray[np.float32]:
    """One row of parameters a policy, (num_policies, num_parameters): for each layer its weights,
    then its biases.

    Args:
        layers: the policies.
        outputs_first: lay weights out as (outputs, inputs), as torch does.
    """
    count = len(layers[0][0])
    parts = []
    for weights, biases in layers:
        parts += [(weights.swapaxes(1, 2) if outputs_first else weights).reshape(count, -1), biases]
    return np.concatenate(parts, axis=1)
