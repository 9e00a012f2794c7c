"""behavior-cloning: fit a policy to swing-ups of a scripted expert, and see how far it gets by
itself.

Run from the repository's root: python examples/behavior_cloning.py
"""

from pathlib import Path

import esengine


def main(
    folder: Path = Path("runs/cloning-example"), episodes: int = 10, generations: int = 200
) -> tuple[float, float]:
    """Collect, clone, evaluate; returns the mean returns of the expert and of its clone."""
    demonstrations = esengine.collect(
        expert="examples.pendulum:swing_up", env_id="Pendulum-v1", episodes=episodes
    )
    folder.mkdir(parents=True, exist_ok=True)
    esengine.save_demonstrations(folder / "demos.npz", demonstrations)
    esengine.train(
        "behavior-cloning",
        demonstrations=(str(folder / "demos.npz"),),
        generations=generations,
        eval_every=0,
        run_dir=folder / "run",
    )
    expert = float(demonstrations.returns.mean())
    clone = esengine.evaluate(folder / "run", episodes=20).mean_return
    print(f"the expert's return is {expert:.0f}, its clone's {clone:.0f}")
    return expert, clone


if __name__ == "__main__":
    main()
