"""Optimisers, which turn a gradient into a step of the mean.

All of them ascend. Their moments are part of the run's state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.lag import momentum_at, share_of_rate
from esengine.algorithms.evolution.step_sizes import StepSizeSettings
from esengine.algorithms.saved_state import SavedState
from esengine.checks import belong_to, positive, within

_BETA_2 = 0.999
_EPSILON = 1e-8


@dataclass(frozen=True)
class OptimizerSettings(StepSizeSettings):
    """The settings of the optimiser that moves the mean."""

    optimizer: Literal["adam", "sgd", "clipup"] = "adam"
    """Adam, gradient ascent with momentum, or ClipUp, which takes only the gradient's direction."""
    learning_rate: float | None = None
    """Step size; default sigma / 5 for adam, sigma for sgd, sigma sqrt(parameters) / 30 for
    clipup.
    """
    momentum: float = 0.9
    """Momentum: the share of the last step in the next one (beta_1 of adam)."""
    max_speed: float | None = None
    """Longest step of clipup; default twice its learning rate."""
    weight_decay: float = 0.0
    """Fraction by which every parameter shrinks per generation, independent of the gradient."""

    def check(self) -> None:
        """Raises UserError for values that no optimiser can have."""
        super().check()
        positive(self, "learning_rate", "max_speed")
        within(self, 0, 1, "momentum", "weight_decay", ends="[)", way_out="0 turns it off")
        if self.optimizer != "clipup":
            belong_to(self, "--optimizer clipup", self.optimizer, "max_speed")


class Adam(SavedState):
    """Adam (Kingma, Ba 2015, arXiv 1412.6980) with the paper's beta_2 and epsilon.

    Args:
        n: number of parameters.
        dtype: precision of the gradients and the moments.
        learning_rate: approximate change of every parameter per step.
        momentum: beta_1.
    """

    saved = ("first", "second", "num_steps")

    def __init__(
        self, n: int, dtype: type[np.floating], learning_rate: float, momentum: float
    ) -> None:
        self.learning_rate = learning_rate
        self.beta_1 = momentum
        self.first = np.zeros(n, dtype)
        self.second = np.zeros(n, dtype)
        self.num_steps = 0

    def allow_lag(self, lag: int) -> None:
        """Be stable for gradients of a mean that is ``lag`` steps old."""
        self.learning_rate *= share_of_rate(lag)
        self.beta_1 = momentum_at(self.beta_1, lag)

    def step(self, gradient: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the change of the mean, (n,), for a gradient (n,), and update the moments."""
        self.num_steps += 1
        self.first = self.beta_1 * self.first + (1 - self.beta_1) * gradient
        self.second = _BETA_2 * self.second + (1 - _BETA_2) * gradient**2
        corrected = self.second / (1 - _BETA_2**self.num_steps)
        rate = self.learning_rate / (1 - self.beta_1**self.num_steps)
        return rate * self.first / (np.sqrt(corrected) + _EPSILON)


class Momentum(SavedState):
    """Gradient ascent with momentum: v <- momentum v + learning_rate g, and v is the step.

    Args:
        n: number of parameters.
        dtype: precision of the gradients and the velocity.
        learning_rate: factor on the gradient.
        momentum: share of the last step in the next one.
    """

    saved = ("velocity",)

    def __init__(
        self, n: int, dtype: type[np.floating], learning_rate: float, momentum: float
    ) -> None:
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.velocity = np.zeros(n, dtype)

    def allow_lag(self, lag: int) -> None:
        """Be stable for gradients of a mean that is ``lag`` steps old."""
        self.learning_rate *= share_of_rate(lag)
        self.momentum = momentum_at(self.momentum, lag)

    def step(self, gradient: NDArray[np.floating]) -> NDArray[np.floating]:
        self.velocity = self.momentum * self.velocity + self.learning_rate * gradient
        return self.velocity


class ClipUp(Momentum):
    """ClipUp (Toklu, Liskowski, Srivastava 2020, arXiv 2008.02387).

    v <- momentum v + learning_rate g / |g|, and |v| is bounded. A gradient of exactly zero has no
    direction and adds nothing to the velocity.

    Args:
        n: number of parameters.
        dtype: precision of the gradients and the velocity.
        learning_rate: length that every gradient adds to the velocity.
        momentum: share of the last step in the next one.
        max_speed: bound on the length of the velocity.
    """

    def __init__(
        self,
        n: int,
        dtype: type[np.floating],
        learning_rate: float,
        momentum: float,
        max_speed: float,
    ) -> None:
        super().__init__(n, dtype, learning_rate, momentum)
        self.max_speed = max_speed

    def allow_lag(self, lag: int) -> None:
        super().allow_lag(lag)
        self.max_speed *= share_of_rate(lag)

    def step(self, gradient: NDArray[np.floating]) -> NDArray[np.floating]:
        length = _length(gradient)
        velocity = super().step(gradient / length if length > 0 else gradient)
        speed = _length(velocity)
        if speed > self.max_speed:
            self.velocity = velocity * (self.max_speed / speed)
        return self.velocity


def make_optimizer(
    settings: OptimizerSettings, sigma: float, mean: NDArray[np.floating]
) -> Adam | Momentum:
    """Return the optimiser that the settings name.

    Gradients are expected in units of sigma: (1 / population_size) sum u_i noise_i.

    Args:
        settings: checked settings.
        sigma: standard deviation of the search, to which default rates are proportional.
        mean: (n,) whose size and precision the moments have.
    """
    n = mean.size
    dtype = mean.dtype.type
    defaults = {"adam": sigma / 5, "sgd": sigma, "clipup": sigma * math.sqrt(n) / 30}
    rate = settings.learning_rate or defaults[settings.optimizer]
    match settings.optimizer:
        case "adam":
            return Adam(n, dtype, rate, settings.momentum)
        case "sgd":
            return Momentum(n, dtype, rate, settings.momentum)
        case "clipup":
            return ClipUp(n, dtype, rate, settings.momentum, settings.max_speed or 2 * rate)


def _length(vector: NDArray[np.floating]) -> float:
    """Return the Euclidean length, summed in float64 without BLAS: its threads may change bits."""
    return math.sqrt(float(np.sum(np.square(vector, dtype=np.float64))))
