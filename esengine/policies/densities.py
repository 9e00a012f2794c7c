"""Log densities of given actions under a policy, in compiled code.

A box action is drawn from a normal distribution and clipped to its bounds. So an action on a bound
has the probability of everything beyond the bound. An action inside has the density of the draw, in
units of half the range. With this, ratios of two policies' densities are exact.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.errors import UserError
from esengine.policies.forward_pass import forward
from esengine.policies.heads import BOX, MULTI_BINARY
from esengine.policies.network import Actor, PolicySpec, check_compiled, check_memoryless

_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)
_BOUND = 1e-6  # tolerance for actions rounded in a file, in units of half the range


def check_density(spec: PolicySpec, method: str) -> None:
    """Raise a UserError for a policy whose actions have no known density."""
    check_compiled(spec, method)
    check_memoryless(spec, method)
    if spec.components:
        raise UserError(
            f"{method} needs a policy with one mean, got one with a mixture of {spec.components}; "
            f"fit another"
        )
    if not spec.sampled:
        raise UserError(
            f"{method} needs a stochastic policy, since a deterministic one has no density, got "
            f"one that takes its mode; add --sampled-actions, or use gail"
        )


def log_densities(
    actor: Actor,
    rows: NDArray[np.float32],
    observations: NDArray[np.float32],
    choices: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The log density, or log probability, of each step's action under each policy, (num_policies,
    num_steps).

    Args:
        actor: the architecture and the scaling of observations; its parameters are not used.
        rows: (num_policies, num_parameters) float32.
        observations: (num_steps, obs_dim) float32.
        choices: (num_steps, num_choices) in the form that the kernel `act` writes.
    """
    head = actor.compiled_arguments[6]
    logs = np.empty((len(rows), len(observations)))
    _fill(
        np.ascontiguousarray(rows),
        np.ascontiguousarray(observations),
        np.ascontiguousarray(choices),
        *actor.network,
        head,
        logs,
    )
    return logs


@kernel
def _fill(
    rows: NDArray[np.float32],
    observations: NDArray[np.float32],
    choices: NDArray[np.float64],
    table: NDArray[np.int64],
    mean: NDArray[np.float32],
    inverse_std: NDArray[np.float32],
    hidden: NDArray[np.float32],
    state: NDArray[np.float32],
    head: Any,
    logs: NDArray[np.float64],
) -> None:
    """Write the result of `log_densities` to ``logs``."""
    for i in range(rows.shape[0]):
        row = rows[i]
        for step in range(observations.shape[0]):
            outputs, offset = forward(
                row, table, observations[step], mean, inverse_std, hidden, state
            )
            logs[i, step] = log_density(outputs, row[offset:], head, choices[step])


@kernel
def log_density(
    outputs: NDArray[np.float32],
    log_stds: NDArray[np.float32],
    head: Any,
    choices: NDArray[np.float64],
) -> float:
    """The log density of one action of a sampled policy, see the module's docstring.

    Args:
        outputs: (num_outputs,) of the network.
        log_stds: (num_outputs,) of a box policy, otherwise unused.
        head: the kind of space, the sizes of the choices, and the bounds.
        choices: (num_choices,) the action.
    """
    kind, choice_sizes, low, high, center, reach = head
    total = 0.0

    if kind == BOX:
        for k in range(choices.size):
            log_std = np.float64(log_stds[k])
            scale = np.exp(-log_std)
            bound = _BOUND * reach[k]
            if choices[k] <= low[k] + bound:
                total += log_normal_tail(((low[k] - center[k]) / reach[k] - outputs[k]) * scale)
            elif choices[k] >= high[k] - bound:
                total += log_normal_tail((outputs[k] - (high[k] - center[k]) / reach[k]) * scale)
            else:
                z = ((choices[k] - center[k]) / reach[k] - outputs[k]) * scale
                total += -0.5 * z * z - log_std - _HALF_LOG_TWO_PI

    elif kind == MULTI_BINARY:
        for k in range(choices.size):
            value = np.float64(outputs[k]) if choices[k] > 0.5 else -np.float64(outputs[k])
            total -= max(-value, 0.0) + np.log1p(np.exp(-abs(value)))  # log sigmoid

    else:
        first = 0
        for choice in range(choices.size):
            top = -np.inf
            for k in range(choice_sizes[choice]):
                top = max(top, np.float64(outputs[first + k]))

            mass = 0.0
            for k in range(choice_sizes[choice]):
                mass += np.exp(np.float64(outputs[first + k]) - top)
            total += np.float64(outputs[first + int(choices[choice])]) - top - np.log(mass)
            first += choice_sizes[choice]

    return total


@kernel
def log_normal_tail(x: float) -> float:
    """The log of P(z < x) for a standard normal z; where P underflows, by its asymptotic series."""
    if x > -8.0:
        return math.log(0.5 * math.erfc(-x * math.sqrt(0.5)))

    y = 1.0 / (x * x)
    return (
        -0.5 * x * x
        - math.log(-x)
        - _HALF_LOG_TWO_PI
        + math.log1p(-y * (1.0 - 3.0 * y * (1.0 - 5.0 * y)))
    )


def log_densities_reference(
    spec: PolicySpec,
    outputs: NDArray[np.floating],
    log_stds: NDArray[np.floating],
    choices: NDArray[np.float64],
) -> NDArray[np.float64]:
    """NumPy twin of `log_density` for rows of outputs, (num_steps,)."""
    action = spec.action
    outputs = outputs.astype(np.float64)
    if action.kind == "box":
        units = (choices - action.center()) / action.reach()
        low = (np.array(action.low) - action.center()) / action.reach()
        high = (np.array(action.high) - action.center()) / action.reach()
        std = np.exp(log_stds.astype(np.float64))
        tail = np.vectorize(log_normal_tail.py_func)
        logs = -0.5 * ((units - outputs) / std) ** 2 - np.log(std) - _HALF_LOG_TWO_PI
        logs = np.where(units >= high - _BOUND, tail((outputs - high) / std), logs)
        logs = np.where(units <= low + _BOUND, tail((low - outputs) / std), logs)
        return np.asarray(logs.sum(axis=1))

    if action.kind == "multi-binary":
        return np.asarray(-np.log1p(np.exp(np.where(choices > 0.5, -outputs, outputs))).sum(axis=1))

    total = np.zeros(len(outputs))
    first = 0
    for choice, size in enumerate(action.sizes):
        part = outputs[:, first : first + size]
        chosen = part[np.arange(len(part)), choices[:, choice].astype(int)]
        total += chosen - np.log(np.exp(part).sum(axis=1))
        first += size

    return total
