"""GAIL with evolution as the generator: the pendulum swings up from ten demonstrations, without one
look at its reward.

The reward is a network that learns to tell the expert's steps from those of a population of
policies; `cma-es` makes the policies, and every worker scores its own. A new search is then paid by
that reward alone. Run: python gail.py
"""

import tempfile
from pathlib import Path

import esengine


def main(folder: Path, budget: int = 4_000_000) -> tuple[float, float]:
    """Learn reward and policy, then a new policy on the reward alone; gives the returns of both."""
    demonstrations = esengine.collect(
        expert="examples.pendulum:swing_up", env_id="Pendulum-v1", episodes=10
    )
    esengine.save_demonstrations(folder / "demonstrations.npz", demonstrations)

    # The environment's own return is told by evaluations, and nobody learns from it. The expert is
    # told from the policies of all generations: a reward that remembers the last ten, as by
    # default, forgets the way from where a search begins.
    result = esengine.train(
        "gail",
        demonstrations=(str(folder / "demonstrations.npz"),),
        generator="cma-es",
        generator_arg=("population_size=64",),
        replay_generations=1000,
        episodes_per_member=2,
        generations=100_000,
        max_env_steps=budget,
        run_dir=folder / "gail",
    )
    print(
        f"demonstrations {demonstrations.returns.mean():.0f}, learned {result.final_return:.0f}, "
        f"random about -1200"
    )

    # The learned reward is a file of the run. A new search is paid by it alone, from a new start.
    paid = {
        "env_id": "Pendulum-v1",
        "reward": folder / "gail",
        "run_dir": folder / "again",
        "episodes_per_member": 2,
    }
    again = esengine.train(
        "cma-es", population_size=64, generations=100_000, max_env_steps=budget, **paid
    )
    verdict = "it swings up" if again.final_return > -400 else "it failed"
    print(f"a new search on the learned reward {again.final_return:.0f}: {verdict}")
    return result.final_return, again.final_return


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(Path(name))
