"""A planner as an expert: at every step it plans from the environment's state and returns the
plan's first action.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.planners.contract import Attraction, Plan, Planner
from esengine.seeding import derive_key, derive_seed
from esengine.simulators.dynamics import Dynamics


class PlannerExpert:
    """The expert of one environment. Every plan starts from the rest of the last plan, so `act`
    must be called for every step in order.

    Args:
        planner: makes the plans.
        dynamics: the dynamics of the environment, on a copy, so that planning does not disturb it.

    Attributes:
        plan: the last plan.
    """

    _env: gymnasium.Env[Any, Any]

    def __init__(self, planner: Planner, dynamics: Dynamics) -> None:
        planner.check(dynamics)
        self.planner = planner
        self.dynamics = dynamics
        self.plan: Plan | None = None
        self._key = 0
        self._step = 0
        self._state = np.zeros(0)

    def begin(self, env: gymnasium.Env[Any, Any], seed: int) -> None:
        """Start an episode of ``env``, which was reset with ``seed``."""
        self._env = env
        self._key = derive_key(seed, "plan")
        self._step = 0
        self.plan = None

    def act(self, observation: Any) -> Any:
        """Return the action for the environment's current state; only learned dynamics use the
        observation.
        """
        state = self.dynamics.state_of(self._env, observation)
        return self.dynamics.action_of(self.control(state))

    def control(self, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the control for a state, (num_controls,)."""
        self._state = state
        guess = None if self.plan is None else self.plan.shifted()
        key = derive_seed(self._key, self._step)
        self.plan = self.planner.plan(self.dynamics, state, guess, key)
        self._step += 1
        return self.plan.controls[0]

    def toward(self, action: Any, weight: float) -> Any:
        """Return the action for the state of the last call of `act`, with an additional cost of the
        distance from the learner's ``action``.
        """
        assert self.plan is not None, "act plans first"
        # The attraction is added to the cost of the first control only, and the second plan starts
        # from the first one.
        attraction = Attraction(self.dynamics.control_of(action), weight)
        key = derive_seed(self._key, self._step, 0)
        plan = self.planner.plan(self.dynamics, self._state, self.plan.controls, key, attraction)
        return self.dynamics.action_of(plan.controls[0])
