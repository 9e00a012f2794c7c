"""A linear system with a quadratic cost, as dynamics, and its exact solution."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.planners.quadratic_expansion import Expansion
from esengine.simulators.dynamics import Transitions

HORIZON = 12


class LinearQuadratic:
    """x' = A x + B u, reward -(x' Q x' + u R u) of the state that a step leads to; two inputs, four
    coordinates.
    """

    state_size = num_coordinates = 4
    smooth = True

    def __init__(self, bound: float = 5.0) -> None:
        self.A = np.array(
            [
                [1.0, 0.1, 0.0, 0.0],
                [0.0, 0.9, 0.1, 0.0],
                [0.0, 0.0, 1.0, 0.1],
                [0.1, 0.0, -0.2, 1.0],
            ]
        )
        self.B = np.array([[0.0, 0.1], [0.3, 0.0], [0.0, 0.0], [0.0, 0.4]])
        self.Q, self.R = np.diag([2.0, 1.0, 1.0, 0.5]), np.array([[0.5, 0.1], [0.1, 0.3]])
        self.low, self.high = np.full(2, -bound), np.full(2, bound)

    def state_of(self, env: Any, observation: Any = None) -> NDArray[np.float64]:
        raise NotImplementedError

    def action_of(self, control: NDArray[np.float64]) -> Any:
        return control

    def control_of(self, action: Any) -> NDArray[np.float64]:
        return np.asarray(action, np.float64)

    def step(self, states: NDArray[np.float64], controls: NDArray[np.float64]) -> Transitions:
        after = states @ self.A.T + controls @ self.B.T
        costs = np.einsum("ni,ij,nj->n", after, self.Q, after) + np.einsum(
            "ni,ij,nj->n", controls, self.R, controls
        )
        return Transitions(after, -costs, np.zeros(len(states), bool))

    def returns(
        self, state: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        states, total = np.tile(state, (len(controls), 1)), np.zeros(len(controls))
        for t in range(controls.shape[1]):
            states, rewards, _ = self.step(states, controls[:, t])
            total += rewards
        return total

    def riccati(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Gains K_t of u = K x, (HORIZON, 2, 4), and the matrix P of the least cost x P x from the
        start.
        """
        P, gains = np.zeros((4, 4)), np.zeros((HORIZON, 2, 4))
        for t in reversed(range(HORIZON)):
            S = P + self.Q
            gains[t] = -np.linalg.solve(self.R + self.B.T @ S @ self.B, self.B.T @ S @ self.A)
            closed = self.A + self.B @ gains[t]
            P = closed.T @ S @ closed + gains[t].T @ self.R @ gains[t]
        return gains, P


class AnalyticLinearQuadratic(LinearQuadratic):
    """The same, with its derivatives."""

    def expand(self, states: NDArray[np.float64], controls: NDArray[np.float64]) -> Expansion:
        F = np.hstack([self.A, self.B])
        H = 2 * F.T @ self.Q @ F
        H[4:, 4:] += 2 * self.R
        points, count = np.hstack([states, controls]), len(states)
        return Expansion(np.tile(F, (count, 1, 1)), points @ H, np.tile(H, (count, 1, 1)))


class LinearQuadraticEnv(gymnasium.Env[Any, Any]):
    """The same system as an environment without a state to set, from one start and with normal
    noise on the state.
    """

    START = np.array([1.0, -0.5, 0.8, 0.3])

    def __init__(self, noise: float = 0.0) -> None:
        self._system = LinearQuadratic()
        self._noise = noise
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float64)
        low, high = self._system.low, self._system.high
        self.action_space = gymnasium.spaces.Box(low, high, dtype=np.float64)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._state = self.START
        return self._state.copy(), {}

    def step(self, action: Any) -> Any:
        after, rewards, _ = self._system.step(self._state[None], np.asarray(action)[None])
        self._state = after[0] + self._noise * self.np_random.standard_normal(4)
        return self._state.copy(), float(rewards[0]), False, False, {}


gymnasium.register(
    "LinearQuadratic-v0", f"{__name__}:LinearQuadraticEnv", max_episode_steps=HORIZON
)
