"""A policy with memory: a GRU that remembers a sign until the end of a corridor, found by
openai-es, and another one cloned from an expert.

Run from the repository's root: python examples/gru.py
"""

from pathlib import Path

import esengine

TASK = "examples.t_maze:TMaze-v0"
MEMORY = {"policy": "gru", "hidden_sizes": (8,)}


def main(
    folder: Path = Path("runs/gru-example"), generations: int = 150, passes: int = 20
) -> tuple[float, float]:
    """Search and clone; returns the mean returns of both policies, of which 1 is the best."""
    esengine.train(
        "openai-es",
        env_id=TASK,
        generations=generations,
        episodes_per_member=4,
        eval_every=0,
        run_dir=folder / "found",
        **MEMORY,
    )
    demonstrations = esengine.collect(expert="examples.t_maze:Expert", env_id=TASK, episodes=20)
    esengine.save_demonstrations(folder / "demos.npz", demonstrations)
    esengine.train(
        "behavior-cloning",
        env_id=TASK,
        demonstrations=(str(folder / "demos.npz"),),
        generations=passes,
        learning_rate=0.01,
        eval_every=0,
        run_dir=folder / "cloned",
        **MEMORY,
    )
    found, cloned = (
        esengine.evaluate(folder / name, episodes=50, trust_modules=True).mean_return
        for name in ("found", "cloned")
    )
    print(f"mean return: {found:.2f} found by openai-es, {cloned:.2f} cloned; 1 is the best")
    return found, cloned


if __name__ == "__main__":
    main()
