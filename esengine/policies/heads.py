"""Heads of policies in compiled code: from the outputs of a network to an action."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.environments import ActionSpec
from esengine.seeding import draw_unit

BOX = 0
_DISCRETE = 1
MULTI_BINARY = 2
MIXTURE = 3
LEAST_LOG_STD = -4.0  # of a mixture's components, which otherwise collapse on single actions
MOST_LOG_STD = 2.0


def head_of(action: ActionSpec, components: int) -> tuple[Any, ...]:
    """What kernels read of a policy's actions: the kind of space, the sizes of the choices, and
    their bounds, center and reach.

    Args:
        action: the action space.
        components: of a mixture, or 0.
    """
    kind = {"box": BOX, "multi-binary": MULTI_BINARY}.get(action.kind, _DISCRETE)
    if components:
        kind = MIXTURE
    low = np.array(action.low or [0.0], np.float64)
    high = np.array(action.high or [0.0], np.float64)
    return kind, np.array(action.sizes, np.int64), low, high, action.center(), action.reach()


@kernel
def _draw_normal(key: np.uint64, counter: np.uint64) -> float:
    """A standard normal number from two draws of a stream, by Box and Muller's transform."""
    radius = np.sqrt(-2.0 * np.log(1.0 - draw_unit(key, counter)))
    return float(radius * np.cos(2.0 * np.pi * draw_unit(key, counter + np.uint64(1))))


@kernel
def action_noise(key: np.uint64, num_steps: int, num_outputs: int) -> NDArray[np.float64]:
    """The standard normal numbers in the actions of one episode of a sampled box policy,
    (num_steps, num_outputs).

    Before it is clipped, an action is ``outputs + exp(log_stds) * noise`` in the policy's units.
    """
    noise = np.empty((num_steps, num_outputs))
    for step in range(num_steps):
        counter = np.uint64(step) * np.uint64(2 * num_outputs)
        for k in range(num_outputs):
            noise[step, k] = _draw_normal(key, counter + np.uint64(2 * k))
    return noise


@kernel
def _choose(
    outputs: NDArray[np.float32],
    first: int,
    count: int,
    sampled: bool,
    key: np.uint64,
    counter: np.uint64,
) -> int:
    """The first of the largest of ``count`` outputs from number ``first`` on; if sampled, a draw
    from their softmax by Gumbel's trick.
    """
    best = 0
    best_value = -np.inf
    for k in range(count):
        value = np.float64(outputs[first + k])
        if sampled:
            number = counter + np.uint64(first + k)
            value -= np.log(-np.log(draw_unit(key, number) + 1e-300))
        if value > best_value:
            best = k
            best_value = value
    return best


@kernel
def draw_component(
    outputs: NDArray[np.float32],
    head: tuple[Any, ...],
    sampled: bool,
    key: np.uint64,
    counter: np.uint64,
    action: Any,
) -> None:
    """`decode` for a mixture."""
    _, _, low, high, center, reach = head
    size = action.size
    components = outputs.size // (1 + 2 * size)
    best = _choose(outputs, 0, components, sampled, key, counter)

    counter += np.uint64(components)
    for k in range(size):
        value = np.float64(outputs[components + best * size + k])
        if sampled:
            log_std = np.float64(outputs[components * (1 + size) + best * size + k])
            value += np.exp(min(max(log_std, LEAST_LOG_STD), MOST_LOG_STD)) * _draw_normal(
                key, counter + np.uint64(2 * k)
            )

        action[k] = min(max(center[k] + reach[k] * value, low[k]), high[k])


@kernel
def decode(
    outputs: NDArray[np.float32],
    log_stds: NDArray[np.float32],
    head: tuple[Any, ...],
    sampled: bool,
    key: np.uint64,
    step: np.uint64,
    action: NDArray[np.float64],
) -> None:
    """Turn the network's outputs into an action, see `network.act`.

    Args:
        outputs: (num_outputs,).
        log_stds: (num_outputs,) of a sampled box policy, otherwise unused.
        head: the kind of space, the sizes of the choices, and the bounds.
        sampled, key, step, action: see `network.act`.
    """
    kind, choice_sizes, low, high, center, reach = head
    counter = step * np.uint64(2 * outputs.size)

    if kind == BOX:
        for k in range(action.size):
            value = np.float64(outputs[k])
            if sampled:
                value += np.exp(np.float64(log_stds[k])) * _draw_normal(
                    key, counter + np.uint64(2 * k)
                )

            action[k] = min(max(center[k] + reach[k] * value, low[k]), high[k])

    elif kind == MIXTURE:
        draw_component(outputs, head, sampled, key, counter, action)

    elif kind == MULTI_BINARY:
        for k in range(action.size):
            value = np.float64(outputs[k])
            if sampled:
                value = 1.0 / (1.0 + np.exp(-value)) - draw_unit(key, counter + np.uint64(k))
            action[k] = 1.0 if value > 0.0 else 0.0

    else:
        first = 0
        for choice in range(action.size):
            size = choice_sizes[choice]
            action[choice] = _choose(outputs, first, size, sampled, key, counter)
            first += size
