"""A planner as the guide of a policy: it plans a whole episode, and local controllers follow the
plan near the policy.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.planners.contract import Planner
from esengine.algorithms.planners.expert import PlannerExpert
from esengine.algorithms.planners.ilqr import ILQR
from esengine.algorithms.planners.local_controllers import Controller, PolicyCost, local_controller
from esengine.policies.network import Actor
from esengine.seeding import derive_key, generator
from esengine.simulators.dynamics import ObservableDynamics


class ControllerInfo(NamedTuple):
    """What a worker sends to the master about an episode.

    Attributes:
        policy_return: return of the policy from the episode's start, without noise; NaN if there is
            no policy yet.
        controller_return: return of the controller, without noise.
        divergence: divergence of the controller from the policy, in nats per step.
        precisions: (num_steps, num_controls, num_controls) inverse covariance of the controller's
            action at each step.
    """

    policy_return: float
    controller_return: float
    divergence: float
    precisions: NDArray[np.float64]

    def packed(self) -> NDArray[np.float64]:
        """All numbers in one vector."""
        return np.concatenate([self[:3], self.precisions.ravel()])

    @classmethod
    def unpacked(cls, info: NDArray[np.float64], num_controls: int) -> ControllerInfo:
        """The record that `packed` returned the vector of."""
        policy_return, controller_return, divergence = info[:3].tolist()
        precisions = info[3:].reshape(-1, num_controls, num_controls)
        return cls(policy_return, controller_return, divergence, precisions)


class GuidedExpert:
    """An expert that labels states with the mean of a local controller. Once there is a policy, it
    acts by draws from the controller.

    Args:
        planner: plans the trajectory that the controllers are fitted around.
        dynamics: the dynamics of the environment, on a copy.
        deviation: standard deviation of the policy's distribution, relative to half the range.
        num_steps: largest number of steps of an episode.
    """

    _env: gymnasium.Env[Any, Any]
    _controller: Controller

    def __init__(
        self, planner: Planner, dynamics: ObservableDynamics, deviation: float, num_steps: int
    ) -> None:
        self._ilqr = ILQR()
        self._ilqr.check(dynamics)
        self._planner = PlannerExpert(planner, dynamics)
        self._dynamics = dynamics
        self._num_steps = num_steps
        self._P = np.diag(1 / (deviation * (dynamics.high - dynamics.low) / 2) ** 2)
        self._actor: Actor | None = None
        self._kl_step = 0.0

    def guide(self, actor: Actor, weight: float) -> None:
        """Stay within ``weight`` nats per step of the policy; 0 means that there is none yet."""
        self._actor = actor if weight else None
        self._kl_step = weight

    def begin(self, env: gymnasium.Env[Any, Any], seed: int) -> None:
        """Plan an episode of ``env``, which was reset with ``seed``, and fit its controller."""
        self._env = env
        self._step = 0
        self._random = generator(derive_key(seed, "controller noise"))
        start = self._dynamics.state_of(env)

        # The planner's trajectory
        self._planner.begin(env, seed)
        controls: list[NDArray[np.float64]] = []
        state = start
        while len(controls) < self._num_steps:
            controls.append(self._planner.control(state))
            after = self._dynamics.step(state[None], controls[-1][None])
            state = after.states[0]
            if after.terminated[0]:
                break

        # The controller around it
        self._controller = local_controller(
            self._ilqr,
            self._dynamics,
            start,
            np.array(controls),
            self._actor,
            self._P,
            self._kl_step,
        )
        self._policy_return = np.nan if self._actor is None else self._return_of_policy(start)

    def act(self, observation: Any) -> Any:
        """Return the controller's mean for the environment's current state."""
        state = self._dynamics.state_of(self._env)
        self._mean = self._clipped(self._controller.mean(self._step, state))
        self._step += 1
        return self._dynamics.action_of(self._mean)

    def toward(self, action: Any, weight: float) -> Any:
        """Return a draw from the controller for the state of the last call of `act`."""
        t = min(self._step, len(self._controller.controls)) - 1
        factor = np.linalg.cholesky(np.linalg.inv(self._controller.precisions[t]))
        z = self._random.standard_normal(self._mean.size)
        drawn = self._mean + factor @ z  # ~ N(mean, Sigma_t)
        return self._dynamics.action_of(self._clipped(drawn))

    def info(self) -> NDArray[np.float64]:
        """Return the packed `ControllerInfo` of the steps that `act` was called for."""
        controller = self._controller
        steps = np.minimum(np.arange(self._step), len(controller.controls) - 1)
        taken = controller.precisions[steps]
        return ControllerInfo(
            float(self._policy_return), controller.expected_return, controller.divergence, taken
        ).packed()

    def _clipped(self, control: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.clip(control, self._dynamics.low, self._dynamics.high)

    def _return_of_policy(self, start: NDArray[np.float64]) -> float:
        assert self._actor is not None
        policy = PolicyCost(self._dynamics, self._actor, self._P, 1.0)
        state = start[None]
        total = 0.0
        for _ in range(self._num_steps):
            after = self._dynamics.step(state, policy.means(state))
            state = after.states
            total += float(after.rewards[0])
            if after.terminated[0]:
                break
        return total
