"""Controllers of an environment whose state cannot be set, from rollouts alone (Levine, Abbeel
2014).

Each iteration runs a few rollouts from the same start, by ``reset(seed)`` with the same seed, with
noise on the last controller. A local model is fitted to them (`local_models`), and the next
controller is the best one in that model within a divergence of the last one. The bound adapts to
how much of the promised gain came true. Observations are the states.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.planners.contract import Attraction
from esengine.algorithms.planners.guided_expert import Found
from esengine.algorithms.planners.ilqr import ILQR
from esengine.algorithms.planners.local_controllers import (
    Controller,
    Means,
    actions,
    adapted,
    local_controller,
)
from esengine.algorithms.planners.local_models import LocalModel, Samples, fit_local_model
from esengine.checks import at_least, not_negative, positive
from esengine.environments import EnvironmentSpec, ObservationSpec
from esengine.errors import UserError
from esengine.policies.network import Actor
from esengine.seeding import derive_key, generator
from esengine.simulators.controls import Controls
from esengine.simulators.stepped import run_agent, without_limits


@dataclass(frozen=True)
class FittedILQR:
    """Improve a controller by linear-quadratic problems that are fitted to its rollouts."""

    set_by: ClassVar[str] = "--planner-arg"

    num_rollouts: int = 4
    """Number of rollouts of each controller, and of the first one."""
    num_iterations: int = 4
    """Number of controllers, each of which improves the best one before it."""
    kl_step: float = 2.0
    """Largest divergence of a controller from the best one, in nats per step; it adapts within a
    factor of 10.
    """
    deviation: float = 0.2
    """Standard deviation of the noise of rollouts, relative to half the range of controls."""
    window: float = 2.0
    """Steps over which a rollout's steps are neighbours in the fit of a model."""
    prior: float = 0.1
    """Number of samples that all rollouts together weigh in the model of each step."""

    def check(self) -> None:
        """Raises UserError for settings that fit no model."""
        at_least(self, 1, "num_rollouts", "num_iterations")
        positive(self, "kl_step", "deviation", "window")
        not_negative(self, "prior", way_out="0 fits neighbouring steps alone")


class _Tried(NamedTuple):
    """A controller and its rollouts; the first one is a policy or does nothing."""

    means: Means
    controller: Controller | None
    samples: Samples
    mean_return: float


class FittedControllers:
    """Finds controllers by rollouts in an environment of its own.

    Args:
        settings: checked settings.
        environment: where the rollouts are run, by ``reset`` and ``step`` alone.
        num_steps: largest number of steps of an episode.

    Raises:
        UserError: actions are no box with finite bounds.
    """

    def __init__(
        self, settings: FittedILQR, environment: EnvironmentSpec, num_steps: int | None
    ) -> None:
        self._settings = settings
        self._env, limit = without_limits(environment.open())
        self._num_steps = limit if num_steps is None else min(limit, num_steps)
        self._observations = ObservationSpec.of(self._env.observation_space)
        self.controls = Controls(self._env)
        if not self.controls.smooth:
            raise UserError(
                f"--dynamics fitted needs box actions, got {self._env.action_space} of "
                f"{environment.env_id}; use --dynamics simulator or learned"
            )
        half = (self.controls.high - self.controls.low) / 2
        self._deviations = settings.deviation * half
        self._P = np.diag(1 / self._deviations**2)
        self._ilqr = ILQR(num_iterations=3)

    def state(
        self, env: gymnasium.Env[Any, Any], observation: Any, step: int
    ) -> NDArray[np.float64]:
        """Return the state of a local model: the observation and the step."""
        flat = self._observations.flat(env.observation_space, observation, np.float64)
        return np.append(flat, step)

    def find(
        self,
        env: gymnasium.Env[Any, Any],
        seed: int,
        actor: Actor | None = None,
        kl_step: float = 0.0,
    ) -> Found:
        """Return the controller for the start of a seed.

        Args:
            env: not used; the rollouts have their own environment.
            seed: of the start and of the noise.
            actor: the policy, which is the first controller, or None to start from the middle of
                the bounds.
            kl_step: largest divergence from the last controller in nats per step, or 0 for that of
                the settings.
        """
        settings = self._settings
        base = step = kl_step or settings.kl_step
        means = self._middle if actor is None else self._policy(actor)
        controller: Controller | None = None
        best: _Tried | None = None
        others: list[Samples] = []
        promised = 0.0
        policy_return = np.nan
        num_steps = 0

        for number in range(settings.num_iterations + 1):
            # Rollouts of the newest controller
            random = generator(derive_key(seed, "rollouts", number))
            rollouts = [self._rollout(seed, means, random) for _ in range(settings.num_rollouts)]
            samples = Samples.joined(rollouts)
            num_steps += len(samples.times)
            mean_return = float(samples.rewards.sum()) / settings.num_rollouts
            newest = _Tried(means, controller, samples, mean_return)

            # The best one so far
            if best is None:
                best = newest
                policy_return = policy_return if actor is None else mean_return
            else:
                gained = mean_return - best.mean_return
                step = adapted(step, base, promised, gained)
                best, worse = (newest, best) if gained > 0 else (best, newest)
                others.append(worse.samples)
            if number == settings.num_iterations:
                break

            # The next one, in a model of the best one's rollouts
            low, high = self.controls.low, self.controls.high
            known = Samples.joined(others) if others else None
            model = fit_local_model(best.samples, known, low, high, settings.window, settings.prior)
            start = np.append(best.samples.points[0, : model.num_coordinates], 0.0)
            controls, expected = _followed(model, start, best.means)
            controller = local_controller(
                self._ilqr, model, start, controls, best.means, self._P, step
            )
            promised = controller.expected_return - expected
            means = self._means(controller)

        assert best is not None
        assert controller is not None
        found = controller if best.controller is None else best.controller
        num_episodes = (settings.num_iterations + 1) * settings.num_rollouts
        return Found(found, policy_return, num_steps, num_episodes)

    def _rollout(self, seed: int, means: Means, random: np.random.Generator) -> Samples:
        """Run one episode of a controller with noise."""
        low, high = self.controls.low, self.controls.high
        states: list[NDArray[np.float64]] = []
        controls: list[NDArray[np.float64]] = []
        rewards: list[float] = []

        def act(observation: Any, step: int) -> Any:
            noise = self._deviations * random.standard_normal(len(low))
            controls.append(np.clip(means(states[-1][None])[0] + noise, low, high))
            return self.controls.action_of(controls[-1])

        def keep(step: int, action: Any, reward: float, observation: Any) -> None:
            states.append(self.state(self._env, observation, step))
            if step:
                rewards.append(reward)

        run_agent(self._env, self._observations, act, seed, self._num_steps, keep=keep)
        along = np.array(states)
        points = np.concatenate([along[:-1, :-1], np.array(controls)], axis=1)
        return Samples(np.arange(len(controls)), points, along[1:, :-1], np.array(rewards))

    def _middle(self, states: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.tile((self.controls.low + self.controls.high) / 2, (len(states), 1))

    def _policy(self, actor: Actor) -> Means:
        def means(states: NDArray[np.float64]) -> NDArray[np.float64]:
            found = actions(actor, states[:, :-1].astype(np.float32))
            return np.clip(found, self.controls.low, self.controls.high)

        return means

    def _means(self, controller: Controller) -> Means:
        def means(states: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.clip(controller.means(states), self.controls.low, self.controls.high)

        return means


def _followed(
    model: LocalModel, start: NDArray[np.float64], means: Means
) -> tuple[NDArray[np.float64], float]:
    """Return the controls of a controller without noise in a model, (horizon, num_controls), and
    their return.
    """
    state = start[None]
    controls = []
    total = 0.0
    for _ in range(len(model.centers)):
        controls.append(means(state)[0])
        after = model.step(state, controls[-1][None])
        state = after.states
        total += float(after.rewards[0])
    return np.array(controls), total


class ControllerExpert:
    """An expert that acts by the controller of its episode's start.

    Args:
        controllers: finds the controllers.
    """

    _env: gymnasium.Env[Any, Any]
    _controller: Controller

    def __init__(self, controllers: FittedControllers) -> None:
        self._controllers = controllers

    def begin(self, env: gymnasium.Env[Any, Any], seed: int) -> None:
        """Find the controller of the start of ``seed``."""
        self._env = env
        self._step = 0
        self._controller = self._controllers.find(env, seed).controller

    def act(self, observation: Any) -> Any:
        """Return the controller's action for an observation."""
        state = self._controllers.state(self._env, observation, self._step)
        self._mean = self._controller.mean(self._step, state)
        self._step += 1
        return self._action(self._mean)

    def toward(self, action: Any, weight: float) -> Any:
        """Return the action for the state of the last call of `act`, with an additional cost of the
        distance from the learner's ``action``.
        """
        attraction = Attraction(self._controllers.controls.control_of(action), weight)
        W = np.diag(attraction.precision(self._controllers.controls))
        t = min(self._step, len(self._controller.controls)) - 1
        Q_uu = self._controller.eta * self._controller.precisions[t]
        right = Q_uu @ self._mean + W @ attraction.target
        return self._action(np.linalg.solve(Q_uu + W, right))

    def _action(self, control: NDArray[np.float64]) -> Any:
        controls = self._controllers.controls
        return controls.action_of(np.clip(control, controls.low, controls.high))
