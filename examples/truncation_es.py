"""truncation-es on a custom environment, registered in this file: keep a drone in the middle
of a corridor.

Run: python truncation_es.py, or evolve it from the command line with all cores, from this folder:
    esengine train truncation-es --env-id truncation_es:Corridor-v0 --population-size 64
    --generations 20
"""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

import esengine


class Corridor(gymnasium.Env[Any, Any]):
    """A point that thrust and a gusty wind push about; it is paid for every step near the
    middle.
    """

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)  # thrust left, none, right

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(
            seed=seed
        )  # which seeds self.np_random, so that an episode is a function of its seed
        self.position, self.speed = self.np_random.uniform(-1, 1, 2)
        return self._observation(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        wind = self.np_random.normal(0.02, 0.05)
        self.speed += 0.1 * (int(action) - 1) + wind
        self.position += 0.1 * self.speed
        reward = 1.0 - min(1.0, abs(self.position))
        return self._observation(), reward, abs(self.position) > 2, False, {}

    def _observation(self) -> Any:
        return np.array([self.position, self.speed], np.float32)


gymnasium.register("Corridor-v0", Corridor, max_episode_steps=200)


def main(run_dir: Path | None = None, generations: int = 20, population_size: int = 64) -> float:
    """Evolve in this process; returns the policy's mean return over fresh episodes."""
    result = esengine.train(
        "truncation-es",
        env_id="Corridor-v0",
        population_size=population_size,
        generations=generations,
        run_dir=run_dir,
        callbacks=[
            lambda row: print(f"generation {row['generation']}: best {row['fitness_max']:.1f}")
        ],
    )
    assert result.final_return is not None
    print(f"return {result.final_return:.1f} of at most 200")
    return result.final_return


if __name__ == "__main__":
    main()
