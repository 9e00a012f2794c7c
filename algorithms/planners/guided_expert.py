"""The teacher of guided policy search: local controllers that stay near the policy, found around a
planned episode in the simulator, or by rollouts (`fitted_controllers`).
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.planners.contract import Planner
from esengine.algorithms.planners.expert import PlannerExpert
from esengine.algorithms.planners.ilqr import ILQR
from esengine.algorithms.planners.local_controllers import (
    Controller,
    Means,
    local_controller,
    policy_means,
)
from esengine.policies.network import Actor
from esengine.seeding import derive_key, generator
from esengine.simulators.controls import Controls
from esengine.simulators.dynamics import ObservableDynamics


class ControllerInfo(NamedTuple):
    """What a worker sends to the master about an episode.

    Attributes:
        policy_return: return of the policy from the episode's start; NaN if there is no policy yet.
        controller_return: return that is expected of the controller, without noise.
        divergence: divergence of the controller from the policy, in nats per step.
        num_steps, num_episodes: rollouts that the controller was fitted to.
        precisions: (num_steps, num_controls, num_controls) inverse covariance of the controller's
            action at each step.
    """

    policy_return: float
    controller_return: float
    divergence: float
    num_steps: int
    num_episodes: int
    precisions: NDArray[np.float64]

    def packed(self) -> NDArray[np.float64]:
        """All numbers in one vector."""
        return np.concatenate([self[:5], self.precisions.ravel()])

    @classmethod
    def unpacked(cls, info: NDArray[np.float64], num_controls: int) -> ControllerInfo:
        """The record that `packed` returned the vector of."""
        policy_return, controller_return, divergence, num_steps, num_episodes = info[:5].tolist()
        precisions = info[5:].reshape(-1, num_controls, num_controls)
        counts = (int(num_steps), int(num_episodes))
        return cls(policy_return, controller_return, divergence, *counts, precisions)


class Found(NamedTuple):
    """A controller of one start.

    Attributes:
        controller: the controller.
        policy_return: return of the policy from this start; NaN if there is no policy yet.
        num_steps, num_episodes: rollouts that the controller was fitted to.
    """

    controller: Controller
    policy_return: float
    num_steps: int = 0
    num_episodes: int = 0


class Controllers(Protocol):
    """What finds controllers."""

    @property
    def controls(self) -> Controls | ObservableDynamics:
        """The bounds of controls, and their conversion to actions."""

    def find(
        self, env: gymnasium.Env[Any, Any], seed: int, actor: Actor | None, kl_step: float
    ) -> Found:
        """Return the controller for the start of an episode of ``env``, which was reset with
        ``seed``, near the policy ``actor``, or without a constraint if it is None.
        """

    def state(
        self, env: gymnasium.Env[Any, Any], observation: Any, step: int
    ) -> NDArray[np.float64]:
        """Return the state of ``env``, as its controller sees it."""


class PlannedControllers:
    """Finds controllers around episodes that a planner plans in a simulator.

    Args:
        planner: plans the trajectory that the controllers are fitted around.
        dynamics: the dynamics of the environment, on a copy.
        deviation: standard deviation of the policy's distribution, relative to half the range.
        num_steps: largest number of steps of an episode.
    """

    def __init__(
        self, planner: Planner, dynamics: ObservableDynamics, deviation: float, num_steps: int
    ) -> None:
        self._ilqr = ILQR()
        self._ilqr.check(dynamics)
        self._planner = PlannerExpert(planner, dynamics)
        self.controls = dynamics
        self._num_steps = num_steps
        self._P = np.diag(1 / (deviation * (dynamics.high - dynamics.low) / 2) ** 2)

    def state(
        self, env: gymnasium.Env[Any, Any], observation: Any, step: int
    ) -> NDArray[np.float64]:
        return self.controls.state_of(env)

    def find(
        self, env: gymnasium.Env[Any, Any], seed: int, actor: Actor | None, kl_step: float
    ) -> Found:
        dynamics = self.controls
        start = dynamics.state_of(env)

        # The planner's trajectory
        self._planner.begin(env, seed)
        controls: list[NDArray[np.float64]] = []
        state = start
        while len(controls) < self._num_steps:
            controls.append(self._planner.control(state))
            after = dynamics.step(state[None], controls[-1][None])
            state = after.states[0]
            if after.terminated[0]:
                break

        # The controller around it
        means = None if actor is None else policy_means(dynamics, actor)
        arguments = (self._ilqr, dynamics, start, np.array(controls), means, self._P, kl_step)
        policy_return = np.nan if means is None else self._return_of(means, start)
        return Found(local_controller(*arguments), policy_return)

    def _return_of(self, means: Means, start: NDArray[np.float64]) -> float:
        state = start[None]
        total = 0.0
        for _ in range(self._num_steps):
            after = self.controls.step(state, means(state))
            state = after.states
            total += float(after.rewards[0])
            if after.terminated[0]:
                break
        return total


class GuidedExpert:
    """An expert that labels states with the mean of a local controller. Once there is a policy, it
    acts by draws from the controller.

    Args:
        controllers: finds the controllers.
    """

    _env: gymnasium.Env[Any, Any]
    _found: Found

    def __init__(self, controllers: Controllers) -> None:
        self._controllers = controllers
        self._actor: Actor | None = None
        self._kl_step = 0.0

    def guide(self, actor: Actor, weight: float) -> None:
        """Stay within ``weight`` nats per step of the policy; 0 means that there is none yet."""
        self._actor = actor if weight else None
        self._kl_step = weight

    def begin(self, env: gymnasium.Env[Any, Any], seed: int) -> None:
        """Find the controller of an episode of ``env``, which was reset with ``seed``."""
        self._env = env
        self._step = 0
        self._random = generator(derive_key(seed, "controller noise"))
        self._found = self._controllers.find(env, seed, self._actor, self._kl_step)

    def act(self, observation: Any) -> Any:
        """Return the controller's mean for the environment's current state."""
        state = self._controllers.state(self._env, observation, self._step)
        self._mean = self._clipped(self._found.controller.mean(self._step, state))
        self._step += 1
        return self._controllers.controls.action_of(self._mean)

    def toward(self, action: Any, weight: float) -> Any:
        """Return a draw from the controller for the state of the last call of `act`."""
        controller = self._found.controller
        t = min(self._step, len(controller.controls)) - 1
        factor = np.linalg.cholesky(np.linalg.inv(controller.precisions[t]))
        z = self._random.standard_normal(self._mean.size)
        drawn = self._mean + factor @ z  # ~ N(mean, Sigma_t)
        return self._controllers.controls.action_of(self._clipped(drawn))

    def info(self) -> NDArray[np.float64]:
        """Return the packed `ControllerInfo` of the steps that `act` was called for."""
        controller, policy_return, num_steps, num_episodes = self._found
        steps = np.minimum(np.arange(self._step), len(controller.controls) - 1)
        return ControllerInfo(
            float(policy_return),
            controller.expected_return,
            controller.divergence,
            num_steps,
            num_episodes,
            controller.precisions[steps],
        ).packed()

    def _clipped(self, control: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.clip(control, self._controllers.controls.low, self._controllers.controls.high)
