"""A curriculum teaches a point mass to reach near goals in a room; a planner chains that skill
through a maze it never saw.

Run: python skills.py
"""

from pathlib import Path

import gymnasium
import numpy as np

import esengine

MAZE = "esengine/PointMaze-v0"


def alone(run_dir: Path, episodes: int) -> float:
    """Success of the policy in the maze s, aimed at the maze's own goal."""
    policy, env, successes = esengine.load_policy(run_dir), gymnasium.make(MAZE, maze="s"), 0
    for seed in range(episodes):
        observation, info = env.reset(seed=seed)
        ended = False
        while not ended:
            flat = gymnasium.spaces.flatten(env.observation_space, observation)
            observation, _, terminated, truncated, info = env.step(
                policy.act(flat.astype(np.float32))
            )
            ended = terminated or truncated
        successes += info["is_success"]
    return successes / episodes


def main(
    run_dir: Path = Path("runs/skills-example"), generations: int = 40, episodes: int = 5
) -> tuple[float, float]:
    """Success of the skill alone, and of the planner that chains it."""
    esengine.train(
        "openai-es",
        env_id=MAZE,
        env_arg=("maze=open",),
        goals="curriculum",
        policy="linear",
        population_size=32,
        sigma=0.2,
        generations=generations,
        run_dir=run_dir,
    )
    demonstrations = esengine.collect(
        skills=(run_dir,), env_id=MAZE, env_arg=("maze=s",), episodes=episodes
    )
    reached = alone(run_dir, episodes), float(demonstrations.returns.mean())
    print(f"success of the skill alone {reached[0]:.2f}, chained by a planner {reached[1]:.2f}")
    return reached


if __name__ == "__main__":
    main()
