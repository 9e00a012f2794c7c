"""The classic control family, all in compiled code: simulator and dynamics."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.environments import ObservationSpec, class_of, classic_physics
from esengine.environments.task_code import changed_attribute, changed_code
from esengine.policies.network import Actor
from esengine.simulators import classic_rollouts, lockstep
from esengine.simulators.contract import NO_MOMENTS, Family, step_limit
from esengine.simulators.controls import Controls
from esengine.simulators.dynamics import Transitions
from esengine.simulators.traces import Episode, TraceBuffer
from esengine.user_code import close


class ClassicSimulator:
    """Runs a classic control task; the environment itself is not used.

    Args:
        env: a task of the family.
        observations: how its observations become flat vectors.
    """

    most_members = 64

    def __init__(self, env: gymnasium.Env[Any, Any], observations: ObservationSpec) -> None:
        self._task = task_of(env)
        self._limit = step_limit(env)
        self._observation = np.empty(observations.dim, np.float32)
        close(env)

    def run(
        self,
        actor: Actor,
        seed: int,
        moments: NDArray[np.float64] | None = None,
        max_steps: int | None = None,
        trace: TraceBuffer | None = None,
    ) -> Episode:
        total, steps, terminated = classic_rollouts.rollout(
            *self._task,
            np.uint64(seed),
            self._limit if max_steps is None else min(self._limit, max_steps),
            actor.compiled_arguments,
            NO_MOMENTS if moments is None else moments,
            self._observation,
            None if trace is None else trace.arrays,
        )
        return Episode(total, steps, terminated, self._observation)

    def run_members(
        self,
        actor: Actor,
        rows: NDArray[np.floating],
        seeds: NDArray[np.uint64],
        statistics: NDArray[np.float64],
        max_steps: int | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        returns = np.empty(seeds.shape)
        steps = np.empty(len(rows), np.int64)
        lockstep.rollouts(
            *self._task,
            seeds,
            np.array(rows, np.float32, order="C"),
            self._limit if max_steps is None else min(self._limit, max_steps),
            actor.compiled_arguments,
            statistics,
            self._observation.size,
            returns,
            steps,
        )
        return returns, steps

    def close(self) -> None:
        pass


class ClassicDynamics(Controls):
    """A classic control task for planners; a discrete action is a control in [-1, 1], cut into
    equal parts.

    Args:
        env: a task of the family.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self._task = task_of(env)
        row = classic_physics.TASKS[class_of(env.unwrapped)]
        self.state_size = self.num_coordinates = row.state_size
        self._observation_dim = ObservationSpec.of(env.observation_space).dim
        close(env)

    def state_of(
        self, env: gymnasium.Env[Any, Any], observation: Any = None
    ) -> NDArray[np.float64]:
        return np.array(env.unwrapped.state, np.float64)  # type: ignore[attr-defined]

    def step(self, states: NDArray[np.float64], controls: NDArray[np.float64]) -> Transitions:
        transitions = Transitions.starting_from(states)
        classic_rollouts.steps(*self._task, *transitions, self.values(controls)[:, 0])
        return transitions

    def returns(
        self, state: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return classic_rollouts.returns(*self._task, state, self.values(controls)[:, :, 0])

    def observe(self, states: NDArray[np.float64]) -> NDArray[np.float32]:
        out = np.empty((len(states), self._observation_dim), np.float32)
        classic_rollouts.observations(self._task[0], states, out)
        return out


def task_of(env: gymnasium.Env[Any, Any]) -> tuple[int, float]:
    """The number of a task and its constant, which kernels take."""
    task = env.unwrapped
    row = classic_physics.TASKS[class_of(task)]
    return row.number, float(getattr(task, row.constant) if row.constant else 0.0)


def _difference(task: gymnasium.Env[Any, Any]) -> str | None:
    kind = type(task)
    row = classic_physics.TASKS[class_of(task)]
    changed = changed_code(kind, class_of(task), ("__init__", "reset", "step"))
    if changed is not None:
        return changed
    if row.constant and not isinstance(getattr(task, row.constant), int | float | np.number):
        return f"its {row.constant} is no number"
    return changed_attribute(task, kind(), (row.constant,))


CLASSIC = Family(
    "classic control",
    lambda task: class_of(task) in classic_physics.TASKS,
    _difference,
    ClassicSimulator,
    ClassicDynamics,
)
