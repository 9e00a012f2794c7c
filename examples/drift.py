"""Drift: what a clone loses grows with the square of the time, what dagger loses in proportion to
it.

On the tightrope this is exact: a policy slips with one probability and climbs back with another,
and the two make a chain (Ross, Bagnell 2010, "Efficient reductions for imitation learning"). Run
from the repository's root: python -m examples.drift
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import esengine
from examples.tightrope import walk

EXPERT, ROPE = "examples.tightrope:walk", "examples.tightrope:Tightrope-v0"
TIMES = np.array([8, 16, 32, 64])


def chances(run: Path) -> tuple[float, float]:
    """How likely a run's policy slips on the rope, and climbs back from the ground, at each
    step.
    """
    policy = esengine.load_policy(run)
    num_actions = policy.spec.num_outputs
    weights = policy.parameters[:-num_actions].reshape(-1, num_actions)  # of a linear policy
    biases = policy.parameters[-num_actions:]
    right = []
    for observation in np.eye(9, dtype=np.float32):
        scaled = (observation - policy.observation_mean) * policy.observation_inverse_std
        chances = np.exp(scaled.clip(-5, 5) @ weights + biases)
        right.append(float(chances[walk(observation)] / chances.sum()))

    return 1 - float(np.mean(right[:8])), right[8]


def regrets(slip: float, climb: float, num_steps: int) -> NDArray[np.float64]:
    """Expected cost of the first 1, 2, ..., num_steps steps; the expert's is 0."""
    fallen = [0.0]  # how likely it lies on the ground
    for _ in range(num_steps):
        fallen.append((1 - fallen[-1]) * slip + fallen[-1] * (1 - climb))
    return np.cumsum(fallen[1:])


def draw(picture: Path, policies: dict[str, tuple[float, float]]) -> None:
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes, times = figure.add_subplot(), np.arange(1, 257)
    for (method, chance), colour in zip(policies.items(), ("#D55E00", "#0072B2"), strict=True):
        axes.loglog(times, regrets(*chance, 256), color=colour, linewidth=1.8, label=method)
    for power, chance in zip((2, 1), policies.values(), strict=True):
        line = 2 * regrets(*chance, 8)[-1] * (times / 8.0) ** power
        axes.loglog(
            times,
            line,
            color="gray",
            linestyle=":",
            label="the square of the time" if power == 2 else "the time",
        )
    axes.set(xlabel="steps", ylabel="expected regret", title="Tightrope", ylim=(5e-4, 300))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    figure.savefig(picture, dpi=120)


def main(
    folder: Path = Path("runs/drift"), picture: Path | None = Path("drift.png")
) -> dict[str, float]:
    """Clone, run dagger, and give the power of the time that the regret of each grows with."""
    demonstrations = esengine.collect(expert=EXPERT, env_id=ROPE, episodes=20)
    folder.mkdir(parents=True)
    esengine.save_demonstrations(folder / "demos.npz", demonstrations)
    common: dict[str, Any] = {
        "demonstrations": (str(folder / "demos.npz"),),
        "policy": "linear",
        "sampled_actions": True,
    }
    common |= {"trust_modules": True}  # the demonstrations name a module
    common |= {
        "learning_rate": 0.03,
        "batch_size": 0,
        "gradient_steps": 1,
        "eval_every": 0,
        "final_episodes": 1,
    }
    esengine.train(
        "behavior-cloning", run_dir=folder / "behavior-cloning", generations=500, **common
    )
    rounds: dict[str, Any] = {
        "expert": EXPERT,
        "generations": 8,
        "epochs_per_round": 100,
        "episodes_per_round": 20,
    }
    esengine.train("dagger", run_dir=folder / "dagger", **rounds, **common)
    policies = {method: chances(folder / method) for method in ("behavior-cloning", "dagger")}
    powers = {}
    for method, (slip, climb) in policies.items():
        regret = regrets(slip, climb, TIMES[-1])[TIMES - 1]
        powers[method] = float(np.polyfit(np.log(TIMES), np.log(regret), 1)[0])
        told = ", ".join(f"{cost:.2g} in {time}" for cost, time in zip(regret, TIMES, strict=True))
        print(
            f"{method}: slips once in {1 / slip:.0f} steps, climbs back with probability "
            f"{climb:.3f}"
        )
        print(f"    regret {told} steps")
        print(f"    it grows with the power {powers[method]:.2f} of the time")
    if picture is not None:
        draw(picture, policies)
    return powers


if __name__ == "__main__":
    main()
