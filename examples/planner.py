"""Plan in the simulator with a custom environment: it needs get_state and set_state, and
nothing else.

Run: python planner.py
"""

import gymnasium
import numpy as np

from esengine.algorithms.planners import MPPI, PlannerExpert
from esengine.simulators import SteppedDynamics


class Landing(gymnasium.Env):
    """Set a lander down softly: height and speed, thrust between 0 and 1, and fuel that costs a
    little.
    """

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gymnasium.spaces.Box(0.0, 1.0, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = np.array([self.np_random.uniform(8, 12), 0.0])
        return self.state.astype(np.float32), {}

    def step(self, action):
        height, speed = self.state
        speed += 0.1 * (16 * float(action[0]) - 9.8)
        height += 0.1 * speed
        self.state = np.array([max(height, 0.0), speed])
        landed = height <= 0
        reward = -0.01 * float(action[0]) - 0.02 * self.state[0] - (speed**2 if landed else 0.0)
        return self.state.astype(np.float32), reward, landed, False, {}

    def get_state(self):
        return self.state.copy()

    def set_state(self, state):
        self.state = state


def main(horizon: int = 25, num_candidates: int = 64) -> float:
    """The speed of touching down, in m/s."""
    env = Landing()
    expert = PlannerExpert(MPPI(horizon, num_candidates), SteppedDynamics(Landing()))
    observation, _ = env.reset(seed=0)
    expert.begin(env, 0)
    landed = False
    while not landed:
        observation, _, landed, _, _ = env.step(expert.act(observation))
    print(f"touched down at {abs(observation[1]):.2f} m/s")
    return abs(float(observation[1]))


if __name__ == "__main__":
    main()
