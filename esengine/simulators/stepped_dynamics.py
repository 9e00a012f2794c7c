"""Planning in any environment whose state can be set, one candidate after another."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.environments import ObservationSpec, is_mujoco, name_of
from esengine.errors import UserError
from esengine.simulators.contract import Family
from esengine.simulators.controls import Controls
from esengine.simulators.dynamics import Transitions
from esengine.simulators.stepped import GymnasiumSimulator, without_limits
from esengine.user_code import number_of


class SteppedDynamics(Controls):
    """Any environment that has ``get_state()`` and ``set_state(state)``, or that runs on MuJoCo,
    stepped one candidate after another.

    ``get_state`` returns a vector of floats from which ``set_state`` lets the environment continue
    exactly. An attribute ``num_coordinates`` says how many of its first numbers say where the
    system is; without it all do.

    Args:
        env: owned by these dynamics; its wrappers are stepped with it, except limits of time.

    Raises:
        UserError: actions have no finite bounds, or the state cannot be read and set.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        self._mujoco = is_mujoco(env)
        task = env.unwrapped
        if not self._mujoco and not (hasattr(task, "get_state") and hasattr(task, "set_state")):
            raise UserError(
                f"a planner needs an environment whose state can be set, got "
                f"{name_of(env)}; give its class get_state() and set_state(state), or take a "
                "MuJoCo or classic control task"
            )
        super().__init__(env)
        self._env: Any = without_limits(env)[0]
        env.reset(seed=0)
        self.state_size = self.num_coordinates = self.state_of(env).size
        if not self._mujoco:
            self.num_coordinates = int(getattr(task, "num_coordinates", self.state_size))

    def state_of(
        self, env: gymnasium.Env[Any, Any], observation: Any = None
    ) -> NDArray[np.float64]:
        task: Any = env.unwrapped
        if not self._mujoco:
            return np.array(task.get_state(), np.float64).ravel()
        import mujoco

        state = np.empty(mujoco.mj_stateSize(task.model, mujoco.mjtState.mjSTATE_INTEGRATION))
        mujoco.mj_getState(task.model, task.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        return state

    def step(self, states: NDArray[np.float64], controls: NDArray[np.float64]) -> Transitions:
        transitions = Transitions.starting_from(states)
        for i, (state, control) in enumerate(zip(states, controls, strict=True)):
            self._set(state)
            _, reward, terminated, _, _ = self._env.step(self.action_of(control))
            transitions.states[i] = self.state_of(self._env)
            transitions.rewards[i] = number_of("a reward", reward)
            transitions.terminated[i] = terminated
        return transitions

    def returns(
        self, state: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        returns = np.zeros(len(controls))
        for i, sequence in enumerate(controls):
            self._set(state)
            for control in sequence:
                _, reward, terminated, _, _ = self._env.step(self.action_of(control))
                returns[i] += number_of("a reward", reward)
                if terminated:
                    break
        return returns

    def _set(self, state: NDArray[np.float64]) -> None:
        task: Any = self._env.unwrapped
        if not self._mujoco:
            task.set_state(state.copy())
            return
        import mujoco

        whole = mujoco.mjtState.mjSTATE_INTEGRATION
        mujoco.mj_setState(task.model, task.data, state, whole)
        mujoco.mj_forward(task.model, task.data)  # computes what follows from a position
        mujoco.mj_setState(task.model, task.data, state, whole)  # the solver's warm start again


class ObservedStepping(SteppedDynamics):
    """The same for an environment that also has ``get_observation()``, which returns what `step`
    would in the present state.
    """

    def observe(self, states: NDArray[np.float64]) -> NDArray[np.float32]:
        space = self._env.observation_space
        spec = ObservationSpec.of(space)
        seen = np.empty((len(states), spec.dim), np.float32)
        for i, state in enumerate(states):
            self._set(state)
            seen[i] = spec.flat(space, self._env.unwrapped.get_observation(), np.float32)
        return seen


def stepped_dynamics(env: gymnasium.Env[Any, Any]) -> SteppedDynamics:
    """The dynamics of an environment that is stepped; they compute observations if nothing around
    it changes these. Raises UserError as `SteppedDynamics` does.
    """
    inside = without_limits(env)[0]
    observes = inside is inside.unwrapped and hasattr(inside, "get_observation")
    return (ObservedStepping if observes else SteppedDynamics)(env)


STEPPED = Family(
    "stepped", lambda task: True, lambda task: None, GymnasiumSimulator, stepped_dynamics
)
