"""Conversion between controls, the numbers that kernels take, and actions."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.environments.spaces import ActionSpec
from esengine.errors import UserError


class Controls:
    """Between controls, the numbers that kernels take, and actions.

    Args:
        env: whose actions.
        name: for the error.

    Raises:
        UserError: actions are neither a box with finite bounds nor one discrete choice.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], name: str) -> None:
        self._spec = ActionSpec.of(env.action_space)
        self.low, self.high = -np.ones(1), np.ones(1)
        if self._spec.kind == "box":
            self.low, self.high = np.array(self._spec.low), np.array(self._spec.high)
        if (
            self._spec.kind not in ("box", "discrete")
            or not np.isfinite([*self.low, *self.high]).all()
        ):
            raise UserError(
                f"a planner needs actions of a box with finite bounds or one discrete choice, got "
                f"{env.action_space} "
                f"of {name}; wrap the environment, for example with "
                f"gymnasium.wrappers.RescaleAction"
            )
        self.smooth = self._spec.kind == "box"

    def values(self, controls: NDArray[np.float64]) -> NDArray[np.float64]:
        """What compiled tasks take: numbers of a box, or the index of a choice."""
        if self.smooth:
            return controls
        options = self._spec.sizes[0]
        return np.clip(np.floor((controls + 1) * (options / 2)), 0, options - 1)

    def action(self, control: NDArray[np.float64]) -> Any:
        if self.smooth:
            return control.astype(self._spec.dtype).reshape(self._spec.shape)
        return int(self.values(control)[0]) + self._spec.starts[0]

    def control(self, action: Any) -> NDArray[np.float64]:
        if self.smooth:
            return np.clip(np.asarray(action, np.float64).ravel(), self.low, self.high)
        return np.array([(2 * (int(action) - self._spec.starts[0]) + 1) / self._spec.sizes[0] - 1])
