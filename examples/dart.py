"""dart: the expert always acts, under noise as large as the learner's errors, so it shows how to
come back from them.

Run from the repository's root: python examples/dart.py
"""

from pathlib import Path
from typing import Any

import esengine


def main(
    run_dir: Path = Path("runs/dart-example"), rounds: int = 5, episodes_per_round: int = 4
) -> list[float]:
    """Run the rounds; returns the noise of each, as it was estimated from the learner's errors on
    unseen states.
    """
    noise: list[float] = []

    def keep(row: dict[str, Any]) -> None:
        noise.append(row["noise"])
        print(
            f"round {row['generation']}: the expert's return under noise "
            f"{row['return_recorded']:.0f}, "
            f"the learner's {row['return_validated']:.0f}; its errors have size {row['noise']:.2f}"
        )

    esengine.train(
        "dart",
        callbacks=[keep],
        env_id="Pendulum-v1",
        expert="examples.pendulum:swing_up",
        generations=rounds,
        episodes_per_round=episodes_per_round,
        eval_every=0,
        run_dir=run_dir,
    )
    return noise


if __name__ == "__main__":
    main()
