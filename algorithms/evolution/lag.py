"""Rates of strategies whose generations are drawn from an older state (``--lag``).

On a quadratic of curvature h the recursion x_g = x_(g-1) - a h x_(g-1-d) of plain steps of size a
is stable if and only if a h < 2 sin(pi / (2 (2 d + 1))): 2, 1, 0.618, 0.347 for d = 0, 1, 2, 4.
"""

from __future__ import annotations

import math


def share_of_rate(lag: int) -> float:
    """The factor on a learning rate.

    A lag of 1 leaves the rate as it is, since the rates of evolution strategies lie far below the
    bound. Beyond, it is sin(pi / (2 (2 lag + 1))).
    """
    return 1.0 if lag < 2 else math.sin(math.pi / (2 * (2 * lag + 1)))


def momentum_at(momentum: float, lag: int) -> float:
    """The momentum b / (1 + lag / 2): the effective rate a / (1 - b) must not grow with the lag."""
    return momentum / (1 + lag / 2)
