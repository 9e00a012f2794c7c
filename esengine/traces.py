"""Episodes whose observations and actions are kept for a learned reward: by compiled code, or stepped through gymnasium."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.environments.classic_physics import observe, reset, step
from esengine.environments.rules import Rules
from esengine.environments.spaces import ActionSpec, ObservationSpec
from esengine.environments.spec import EnvironmentSpec
from esengine.policies.network import Actor, act
from esengine.policies.normalizer import accumulate
from esengine.simulators import ClassicSimulator, EnvBackend, MujocoSimulator, make_simulator
from esengine.trajectories import Trajectory


class Trace(NamedTuple):
    """What is kept of an episode; the arrays are overwritten by the next one.

    Attributes:
        observations: (num_steps + 1, obs_dim) float32, the one after the last action included.
        choices: (num_steps, num_choices) float64, what was done, as the kernel `policies.act` writes it.
        rewards: (num_steps,) float64, the environment's own.
        episode_return: their sum.
        terminated: whether the task itself ended, in contrast to an episode that is cut.
    """

    observations: NDArray[np.float32]
    choices: NDArray[np.float64]
    rewards: NDArray[np.float64]
    episode_return: float
    terminated: bool

    @classmethod
    def of(cls, trajectory: Trajectory, action: ActionSpec) -> Trace:
        """What is kept of a recorded episode."""
        choices = trajectory.actions if action.kind == "box" else action.options(trajectory.actions).astype(np.float64)
        observations = trajectory.observations.astype(np.float32)
        return cls(observations, choices, trajectory.rewards, trajectory.episode_return, trajectory.terminated)


class Tracer(Protocol):
    """Runs and keeps episodes of one environment."""

    def run(self, actor: Actor, seed: int, moments: NDArray[np.float64]) -> Trace:
        """One episode from the start that ``seed`` gives; ``moments`` as in `rollouts.run_episode`, or empty."""

    def close(self) -> None:
        """Give the environment back."""


class ClassicTracer:
    """A classic control task, all in compiled code.

    Args:
        simulator: of the task.
        observation_dim: numbers of an observation.
        horizon: most steps of an episode.
    """

    def __init__(self, simulator: ClassicSimulator, observation_dim: int, horizon: int) -> None:
        self._task, self._constant = simulator.task, simulator.constant
        self._observations = np.empty((horizon + 1, observation_dim), np.float32)
        self._choices, self._rewards = np.empty((horizon, 1)), np.empty(horizon)

    def run(self, actor: Actor, seed: int, moments: NDArray[np.float64]) -> Trace:
        kept = (self._observations, self._choices, self._rewards)
        task = (self._task, self._constant, np.uint64(seed))
        total, steps, terminated = trace_classic(*task, actor.compiled_arguments, moments, *kept)
        return Trace(self._observations[: steps + 1], self._choices[:steps], self._rewards[:steps], total, terminated)

    def close(self) -> None:
        pass


class MujocoTracer:
    """A MuJoCo task, reset by gymnasium and rolled out by compiled code.

    Args:
        simulator: of the task.
        observation_dim: numbers of an observation.
        num_choices: numbers of an action.
        horizon: most steps of an episode.
    """

    def __init__(self, simulator: MujocoSimulator, observation_dim: int, num_choices: int, horizon: int) -> None:
        from esengine.environments import mujoco_physics

        self._simulator, self._kernel = simulator, mujoco_physics.trace
        self._observations = np.empty((horizon + 1, observation_dim), np.float32)
        self._choices, self._rewards = np.empty((horizon, num_choices)), np.empty(horizon)

    def run(self, actor: Actor, seed: int, moments: NDArray[np.float64]) -> Trace:
        self._simulator.env.reset(seed=seed)
        kept = (self._observations, self._choices, self._rewards)
        acting = (actor.compiled_arguments, np.uint64(seed), moments, self._simulator.observe())
        total, steps, terminated = self._kernel(*self._simulator.step_arguments, *acting, *kept)
        return Trace(self._observations[: steps + 1], self._choices[:steps], self._rewards[:steps], total, terminated)

    def close(self) -> None:
        self._simulator.close()


class GymnasiumTracer:
    """Any environment, stepped through gymnasium, under rules if there are any.

    Args:
        env: the environment.
        observations: how its observations become flat vectors.
        action: how its actions become numbers.
        rules: step in while the policy acts.
        horizon: most steps of an episode.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        observations: ObservationSpec,
        action: ActionSpec,
        rules: Rules,
        horizon: int,
    ) -> None:
        self._env, self._spec, self._action, self._rules = env, observations, action, rules
        self._observations = np.empty((horizon + 1, observations.dim), np.float32)
        self._choices, self._rewards = np.empty((horizon, len(action.sizes))), np.empty(horizon)

    def run(self, actor: Actor, seed: int, moments: NDArray[np.float64]) -> Trace:
        observation, _ = self._env.reset(seed=seed)
        total, steps, terminated, truncated = 0.0, 0, False, False
        while not (terminated or truncated or steps == len(self._choices)):
            flat = self._flat(observation)
            if moments.size:
                accumulate(moments, flat)
            done, correction = actor.act(flat, seed, steps), self._rules.correction(observation)
            done = done if correction is None else correction
            values = self._action.flat(done)
            self._observations[steps] = flat
            self._choices[steps] = values if self._action.kind == "box" else self._action.options(values[None])[0]
            observation, gained, terminated, truncated, _ = self._env.step(done)
            self._rewards[steps] = gained
            total += float(gained)
            steps += 1
        self._observations[steps] = self._flat(observation)
        kept = (self._observations[: steps + 1], self._choices[:steps], self._rewards[:steps])
        return Trace(*kept, total, bool(terminated))

    def _flat(self, observation: Any) -> NDArray[np.float32]:
        space = self._env.observation_space
        flat = self._spec.flat(space, observation)
        if flat.size != self._spec.dim:
            raise ValueError(f"an observation must have {self._spec.dim} numbers as {space} declares, got {flat.size}")
        return flat

    def close(self) -> None:
        self._env.close()


def make_tracer(
    spec: EnvironmentSpec,
    observations: ObservationSpec,
    action: ActionSpec,
    rules: Rules,
    backend: EnvBackend,
    horizon: int,
) -> Tracer:
    """A tracer for a new environment, compiled where that exists, unless rules step in or ``backend`` is gymnasium."""
    if not rules and backend != "gymnasium":
        simulator = make_simulator(spec, observations, backend)
        if isinstance(simulator, ClassicSimulator):
            return ClassicTracer(simulator, observations.dim, horizon)
        if isinstance(simulator, MujocoSimulator):
            return MujocoTracer(simulator, observations.dim, len(action.sizes), horizon)
        simulator.close()
    return GymnasiumTracer(spec.make(), observations, action, rules, horizon)


def horizon_of(env: gymnasium.Env[Any, Any], max_episode_steps: int | None) -> int | None:
    """Most steps of an episode, or None where nothing limits it."""
    limits = [getattr(env.spec, "max_episode_steps", None), max_episode_steps]
    return min((limit for limit in limits if limit is not None), default=None)


@kernel
def trace_classic(
    task: int,
    constant: float,
    seed: np.uint64,
    policy: Any,
    moments: NDArray[np.float64],
    observations: NDArray[np.float32],
    choices: NDArray[np.float64],
    rewards: NDArray[np.float64],
) -> tuple[float, int, bool]:
    """`classic_kernels.rollout` that keeps what it sees, does and gets; returns return, steps, and whether the task ended.

    Args:
        task, constant, seed, policy, moments: see `classic_kernels.rollout`.
        observations: (horizon + 1, obs_dim) overwritten up to the end of the episode.
        choices: (horizon, 1) overwritten likewise.
        rewards: (horizon,) overwritten likewise.
    """
    parameters, sizes, mean, inverse_std, hidden, head, sampled, decoded = policy
    state = np.empty(4)
    reset(task, seed, state)
    total, steps, terminated = 0.0, 0, False
    while not terminated and steps < choices.shape[0]:
        observation = observations[steps]
        observe(task, state, observation)
        if moments.size:
            accumulate(moments, observation)
        act(parameters, sizes, observation, mean, inverse_std, hidden, head, sampled, seed, np.uint64(steps), decoded)
        choices[steps, 0] = decoded[0]
        rewards[steps], terminated = step(task, state, decoded[0], constant, steps == 0)
        total += rewards[steps]
        steps += 1
    observe(task, state, observations[steps])
    return total, steps, terminated
