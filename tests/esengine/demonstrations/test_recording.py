"""What recording an episode takes."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine import save_demonstrations
from esengine.launch.demonstrations.collecting import CollectSettings, collect_on
from esengine.ranks import World

NUMBERS, STEPS = 16, 6_000


class Long(gymnasium.Env[NDArray[np.float32], int]):
    """Has no end but the limit of its steps."""

    observation_space: gymnasium.Space[Any] = gymnasium.spaces.Box(
        -np.inf, np.inf, (NUMBERS,), np.float32
    )
    action_space: gymnasium.Space[Any] = gymnasium.spaces.Discrete(2)

    def __init__(self, **_: Any) -> None:
        pass

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        return self.np_random.normal(size=NUMBERS).astype(np.float32), {}

    def step(self, action: int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        return self.np_random.normal(size=NUMBERS).astype(np.float32), 1.0, False, False, {}


gymnasium.register("Long-v0", Long, max_episode_steps=STEPS)


def expert(observation: object) -> int:
    return 1


def test_a_recorded_episode_takes_at_most_three_times_its_data(tmp_path: Path) -> None:
    def recorded(steps: int) -> int:
        settings = CollectSettings(
            out="unused.npz",
            env_id=f"{__name__}:Long-v0",
            env_arg=(f"max_episode_steps={steps}",),
            expert=f"{__name__}:expert",
            episodes=1,
            quiet=True,
        )
        found = collect_on(World(), settings)
        assert found is not None
        save_demonstrations(tmp_path / "some.npz", found)
        return found.num_steps

    assert recorded(10) == 10  # imports and kernels
    tracemalloc.start()
    try:
        assert recorded(STEPS) == STEPS
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    data = 8 * STEPS * (NUMBERS + 2)
    assert peak < 3 * data
