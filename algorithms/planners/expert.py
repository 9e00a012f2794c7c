"""A planner as an expert: at every step it plans from the environment's own state and gives the
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
    """Labels the states of an episode. Each plan begins where the last one goes on, so steps are
    asked in their order.

    Args:
        planner: plans.
        dynamics: of the environment that episodes are run in; on a copy of its own, so that nothing
            there is disturbed.

    Attributes:
        plan: the last one.
    """

    def __init__(self, planner: Planner, dynamics: Dynamics) -> None:
        planner.check(dynamics)
        self.planner, self.dynamics = planner, dynamics
        self.plan: Plan | None = None
        self._env: gymnasium.Env[Any, Any] | None = None
        self._key, self._step = 0, 0
        self._state = np.zeros(0)

    def begin(self, env: gymnasium.Env[Any, Any], seed: int) -> None:
        """An episode begins: ``env`` was reset with ``seed``."""
        self._env, self._key, self._step, self.plan = env, derive_key(seed, "plan"), 0, None

    def act(self, observation: Any) -> Any:
        """The action for the state that the environment is in; the observation is not looked at."""
        assert self._env is not None, "begin tells which environment"
        return self.dynamics.action_of(self.control(self.dynamics.state_of(self._env)))

    def control(self, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """The control for a state, (num_controls,)."""
        self._state = state
        guess = None if self.plan is None else self.plan.shifted()
        self.plan = self.planner.plan(
            self.dynamics, state, guess, derive_seed(self._key, self._step)
        )
        self._step += 1
        control: NDArray[np.float64] = self.plan.controls[0]
        return control

    def toward(self, action: Any, weight: float) -> Any:
        """The action for the state that was asked about last, if its control is also drawn to the
        learner's ``action``.
        """
        assert self.plan is not None, "act plans first"
        # The attraction is added to the cost of the first control only, and the second plan starts
        # from the first one.
        attraction = Attraction(self.dynamics.control_of(action), weight)
        key = derive_seed(self._key, self._step, 0)
        plan = self.planner.plan(self.dynamics, self._state, self.plan.controls, key, attraction)
        return self.dynamics.action_of(plan.controls[0])
