"""Experts for cart and pole: ``esengine collect --expert examples.cartpole_experts:balance --env-id
CartPole-v1``.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray


def balance(observation: NDArray[Any]) -> int:
    """Push to the side to which the pole, and a little the cart, would go: linear feedback, which
    balances for ever.
    """
    position, speed, angle, rate = (float(number) for number in observation)
    return int(angle + 0.25 * rate + 0.05 * position + 0.1 * speed > 0)


def constant(observation: NDArray[Any]) -> int:
    """Push left, whatever happens: an expert that cannot balance."""
    return 0
