"""A policy that sees pictures: openai-es finds convolutions that catch a falling ball (the game
Catch of Mnih et al. 2014, arXiv 1406.6247).

Run from the repository's root: python examples/catch.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

import esengine


class Catch(gymnasium.Env[Any, Any]):
    """A ball falls from a random place, and a paddle moves left, stays or moves right below it.

    The observation is a picture of bytes, (size, size, 2): the ball and the paddle. A ball that is
    caught pays 1, another one -1, and each ends the episode.

    Args:
        size: rows and columns.
    """

    def __init__(self, size: int = 8) -> None:
        self.size = size
        self.observation_space = spaces.Box(0, 255, (size, size, 2), np.uint8)
        self.action_space = spaces.Discrete(3)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.ball = [0, int(self.np_random.integers(self.size))]
        self.paddle = int(self.np_random.integers(self.size))
        return self._picture(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.paddle = int(np.clip(self.paddle + int(action) - 1, 0, self.size - 1))
        self.ball[0] += 1
        over = self.ball[0] == self.size - 1
        caught = self.ball[1] == self.paddle
        return self._picture(), (1.0 if caught else -1.0) if over else 0.0, over, False, {}

    def _picture(self) -> NDArray[np.uint8]:
        picture = np.zeros((self.size, self.size, 2), np.uint8)
        picture[self.ball[0], self.ball[1], 0] = 255
        picture[-1, self.paddle, 1] = 255
        return picture


def main(folder: Path = Path("runs/catch-example"), generations: int = 60) -> float:
    """Search; returns the mean return on fresh episodes, of which 1 is the best."""
    esengine.train(
        "openai-es",
        env_id="examples.catch:Catch-v0",
        policy="conv",
        convolutions=("16x3/1",),
        hidden_sizes=(16,),
        population_size=128,
        episodes_per_member=8,
        generations=generations,
        eval_every=0,
        run_dir=folder,
    )
    found = esengine.evaluate(folder, episodes=100, trust_modules=True).mean_return
    print(f"mean return {found:.2f}; 1 is the best")
    return found


if "Catch-v0" not in gymnasium.registry:
    gymnasium.register("Catch-v0", cast(Any, Catch))

if __name__ == "__main__":
    main()
