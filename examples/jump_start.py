"""rules and a jump start: a policy that imitates a few hard-coded lines begins a search, which goes
on beyond them.

Run from the repository's root: python examples/jump_start.py
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import esengine


def rough_swing_up(observation: NDArray[Any]) -> NDArray[np.float32]:
    """Push the way the pendulum moves, and against its angle near the top: crude, and far better
    than nothing.
    """
    cosine, sine, speed = observation
    torque = 2 * np.sign(speed) if cosine < 0.7 else -8 * sine - 2 * speed
    return np.clip(np.array([torque], np.float32), -2, 2)


def main(
    folder: Path = Path("runs/jump-start-example"), rounds: int = 4, max_env_steps: int = 600_000
) -> tuple[float, float]:
    """Imitate, with a rule that corrects the teacher near the top, then search; returns the returns
    before and after.
    """
    esengine.train(
        "dagger",
        env_id="Pendulum-v1",
        expert="examples.jump_start:rough_swing_up",
        rules=("examples.pendulum_rule",),
        generations=rounds,
        eval_every=0,
        run_dir=folder / "imitated",
    )
    esengine.train(
        "openai-es",
        env_id="Pendulum-v1",
        init_policy=folder / "imitated",
        population_size=64,
        episodes_per_member=1,
        max_env_steps=max_env_steps,
        eval_every=4,
        eval_episodes=20,
        run_dir=folder / "searched",
    )
    before, after = (
        esengine.evaluate(folder / name, episodes=20).mean_return
        for name in ("imitated", "searched")
    )
    print(f"return {before:.0f} by imitation, {after:.0f} after the search")
    return before, after


if __name__ == "__main__":
    main()
