"""Measure recovery from damage: ``python -m benchmarks.diversity.damage``.

An ant evolves a repertoire. Then one of its legs is switched off, and trial and error looks for a
gait among the elites. Each repertoire is evolved once, in a folder that can be given again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import esengine
from esengine.policies import Policy
from examples.walking_ant import EPISODE_STEPS, WalkingAnt

RESULTS = Path(__file__).parent / "damage.jsonl"
ENVIRONMENT = "examples.walking_ant:WalkingAnt-v0"
LEGS = range(4)
TRIALS = 20
EPISODES = 20  # fresh ones, that a gait is judged by
WIDTHS = (0.4, 0.1)
"""Of the kernel: the paper's, and one that was chosen on the repertoire of seed 0."""


def repertoire(folder: Path, seed: int) -> Path:
    """The run directory of the repertoire of a seed, which is evolved if it is not there."""
    path = folder / f"seed-{seed}"
    if not (path / "archive.safetensors").exists():
        esengine.train(
            "map-elites",
            ENVIRONMENT,
            policy="linear",
            returns=("m:foot0", "m:foot1", "m:foot2", "m:foot3"),
            measure_ranges=(0, 1) * 4,
            cells=(5, 5, 5, 5),
            population_size=200,
            sigma=0.2,
            reevaluate=20,
            generations=12,
            eval_every=0,
            seed=seed,
            run_dir=path,
        )
    return path


def speed(policy: Policy, leg: int) -> float:
    """The mean speed of a policy over fresh episodes, in m/s."""
    env, returns = WalkingAnt(leg), []
    for episode in range(EPISODES):
        observation, _ = env.reset(seed=10_000 + episode)
        total = 0.0
        for _ in range(EPISODE_STEPS):
            action = np.clip(policy.act(observation.astype(np.float32)), -1, 1)
            observation, reward, *_ = env.step(action)
            total += reward
        returns.append(total)
    return float(np.mean(returns))


def recovered(path: Path, folder: Path, seed: int, leg: int, width: float) -> dict[str, Any]:
    """What trial and error finds without a leg."""
    run = folder / f"seed-{seed}-leg-{leg}-width-{width}"
    result = esengine.train(
        "trial-and-error",
        ENVIRONMENT,
        env_arg=(f"broken_leg={leg}",),
        init_archive=path,
        kernel_width=width,
        generations=TRIALS,
        seed=seed,
        run_dir=run,
        quiet=True,
    )
    row = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    found = speed(esengine.load_policy(run), leg)
    return {"trials": row["trials"], "best_trial": row["best_trial"], "found": found} | {
        "reason": result.reason
    }


def main() -> None:
    """Measure all legs of all repertoires."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/walking-ants"))
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3, 4, 5])
    given = parser.parse_args()
    known = set()
    if RESULTS.exists():
        rows = map(json.loads, RESULTS.read_text().splitlines())
        known = {tuple(row[name] for name in _KEY) for row in rows}
    for seed in given.seeds:
        path = repertoire(given.folder, seed)
        archive = esengine.load_archive(path)
        best = archive.policy_of(archive.best())
        healthy = speed(best, -1)
        for leg in LEGS:
            damaged = speed(best, leg)
            for width in WIDTHS:
                key = (seed, leg, width)
                if key in known:
                    continue
                row: dict[str, Any] = dict(zip(_KEY, key, strict=True))
                row |= {"elites": archive.cells.size, "healthy": healthy, "damaged": damaged}
                row |= recovered(path, given.folder, *key)
                with RESULTS.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)


_KEY = ("seed", "leg", "width")

if __name__ == "__main__":
    main()
