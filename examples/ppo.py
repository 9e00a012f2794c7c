"""ppo: a policy gradient balances the pole on the pool that evolution uses, and evolution goes on
from its policy.

Run: python ppo.py
"""

from pathlib import Path

import esengine


def main(run_dir: Path = Path("runs/ppo-example"), generations: int = 30) -> tuple[float, float]:
    """Train by gradient, then search around the result; returns the mean returns of both."""
    gradient = esengine.train(
        "ppo",
        env_id="CartPole-v1",
        generations=generations,
        target_return=475.0,
        eval_every=2,
        run_dir=run_dir,
    )
    evolved = esengine.train(
        "openai-es",
        env_id="CartPole-v1",
        init_policy=run_dir / "policy.safetensors",
        population_size=64,
        generations=max(1, generations // 10),
        run_dir=run_dir.with_name(f"{run_dir.name}-evolved"),
    )
    assert gradient.final_return is not None
    assert evolved.final_return is not None
    print(
        f"policy gradient {gradient.final_return:.0f}, then evolution {evolved.final_return:.0f}, "
        f"of at most 500"
    )
    return gradient.final_return, evolved.final_return


if __name__ == "__main__":
    main()
