"""Conversion between controls, the numbers that kernels take, and actions."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.environments import ActionSpec, name_of
from esengine.errors import UserError


class Controls:
    """The part of all `Dynamics` that converts controls to actions, to the numbers that kernels
    take, and back.

    Args:
        env: the environment that takes the actions.

    Attributes:
        low, high: (num_controls,) bounds of a control.
        smooth: whether actions vary continuously with controls.

    Raises:
        UserError: actions are neither a box with finite bounds nor one discrete choice.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        self._action = ActionSpec.of(env.action_space)
        self.smooth = self._action.kind == "box"
        self.low, self.high = -np.ones(1), np.ones(1)
        if self.smooth:
            self.low, self.high = np.array(self._action.low), np.array(self._action.high)

        bounded = np.isfinite([*self.low, *self.high]).all()
        if self._action.kind not in ("box", "discrete") or not bounded:
            raise UserError(
                f"a planner needs actions of a box with finite bounds or one discrete choice, got "
                f"{env.action_space} of {name_of(env)}; wrap the environment, for example with "
                f"gymnasium.wrappers.RescaleAction"
            )

    def values(self, controls: NDArray[np.float64]) -> NDArray[np.float64]:
        """What compiled tasks take: numbers of a box, or the index of a choice."""
        if self._action.kind == "box":
            return controls
        options = self._action.sizes[0]
        return np.clip(np.floor((controls + 1) * (options / 2)), 0, options - 1)

    def action_of(self, control: NDArray[np.float64]) -> Any:
        """The action that a control stands for."""
        if self._action.kind == "box":
            return control.astype(self._action.dtype).reshape(self._action.shape)
        return int(self.values(control)[0]) + self._action.starts[0]

    def control_of(self, action: Any) -> NDArray[np.float64]:
        """The middle of the controls that stand for an action."""
        if self._action.kind == "box":
            return np.clip(np.asarray(action, np.float64).ravel(), self.low, self.high)
        option = int(action) - self._action.starts[0]
        return np.array([(2 * option + 1) / self._action.sizes[0] - 1])
