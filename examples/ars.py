"""ars: a linear policy balances a pole in MuJoCo, then acts outside the engine in ten lines.

Run: python ars.py
"""

from pathlib import Path

import gymnasium

import esengine


def main(run_dir: Path = Path("runs/ars-example"), generations: int = 30) -> float:
    """Train, load the policy from its folder, and step the environment with it; returns an
    episode's return.
    """
    esengine.train(
        "ars",
        env_id="InvertedPendulum-v5",
        generations=generations,
        target_return=950.0,
        eval_every=5,
        run_dir=run_dir,
    )
    policy = esengine.load_policy(run_dir)
    env = gymnasium.make("InvertedPendulum-v5")
    observation, _ = env.reset(seed=1)
    episode_return, ended = 0.0, False
    while not ended:
        observation, reward, terminated, truncated, _ = env.step(policy.act(observation))
        episode_return += float(reward)
        ended = terminated or truncated
    print(f"return {episode_return:.0f} of at most 1000")
    return episode_return


if __name__ == "__main__":
    main()
