"""A computer as the teacher: one planner, and three ways to learn from it with the same number of
labels.

Run: python guided_policy_search.py
"""

from pathlib import Path

import esengine

METHODS = ("dagger", "plato", "guided-policy-search")


def main(
    folder: Path = Path("runs"), rounds: int = 10, epochs: int = 50, steps: int | None = None
) -> dict[str, float]:
    """Returns of the policies on Pendulum-v1, each from ``rounds`` episodes that the planner
    labelled.
    """
    returns = {}
    for method in METHODS:
        result = esengine.train(
            method,
            env_id="Pendulum-v1",
            # the teacher: 128 sequences of 30 torques, weighted by the exponential of their return
            planner="mppi",
            generations=rounds,
            episodes_per_round=1,
            epochs_per_round=epochs,
            max_episode_steps=steps,
            eval_every=0,
            run_dir=folder / f"teacher-{method}",
        )
        assert result is not None
        assert result.final_return is not None
        returns[method] = result.final_return
        print(f"{method:22} {result.final_return:8.1f} over fresh episodes")
    return returns


if __name__ == "__main__":
    main()
