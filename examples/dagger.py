"""dagger: let the learner act, ask the expert about every state that it comes to, and learn from
all rounds.

Run from the repository's root: python examples/dagger.py
"""

from pathlib import Path
from typing import Any

import esengine


def main(
    run_dir: Path = Path("runs/dagger-example"), rounds: int = 5, episodes_per_round: int = 8
) -> float:
    """Run the rounds; the expert alone acts in the first. Returns the mean return over fresh
    starts.
    """
    esengine.train(
        "dagger",
        callbacks=[show],
        env_id="Pendulum-v1",
        expert="examples.pendulum:swing_up",
        generations=rounds,
        episodes_per_round=episodes_per_round,
        eval_every=0,
        run_dir=run_dir,
    )
    mean_return = esengine.evaluate(run_dir, episodes=20).mean_return
    print(f"return {mean_return:.0f}; the expert has -145")
    return mean_return


def show(row: dict[str, Any]) -> None:
    """Print a round: the learner drifts at first, and is told what would have been right there."""
    print(
        f"round {row['generation']}: {row['labels']} labels, return on held-out starts "
        f"{row['return_validated']:.0f}"
    )


if __name__ == "__main__":
    main()
