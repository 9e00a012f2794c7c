"""Measure plans over gaits: ``python -m benchmarks.diversity.places``.

An ant evolves gaits by where they end, without any reward. Then it is sent to five places around it,
each by a plan over these gaits. Beside it: to how many of the places each gait alone leads.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

import esengine
from esengine.policies import Policy
from examples.going_ant import REACH, GoingAnt

RESULTS = Path(__file__).parent / "places.jsonl"
ENVIRONMENT = "examples.going_ant:GoingAnt-v0"
DISTANCE = 3.0  # metres
NUM_PLACES = 5
LIMIT = 300  # steps of 0.1 s


def places() -> list[tuple[float, float]]:
    """The places, evenly around the start."""
    angles = [2 * math.pi * number / NUM_PLACES for number in range(NUM_PLACES)]
    return [
        (round(DISTANCE * math.cos(angle), 2), round(DISTANCE * math.sin(angle), 2))
        for angle in angles
    ]


def repertoire(folder: Path, seed: int) -> Path:
    """The run directory of the gaits of a seed, which are evolved if they are not there."""
    path = folder / f"moves-{seed}"
    if not (path / "archive.safetensors").exists():
        esengine.train(
            "map-elites",
            ENVIRONMENT,
            policy="linear",
            returns=("m:x", "m:y"),
            measure_ranges=(-1.5, 1.5) * 2,
            cells=(12, 12),
            population_size=200,
            sigma=0.2,
            max_episode_steps=30,
            generations=10,
            eval_every=0,
            seed=seed,
            run_dir=path,
        )
    return path


def passed(policy: Policy) -> list[bool]:
    """Which places a gait alone leads to."""
    env = GoingAnt()
    observation, _ = env.reset(seed=0)
    nearest = np.full(NUM_PLACES, np.inf)
    for _ in range(LIMIT):
        action = np.clip(policy.act(observation.astype(np.float32)), -1, 1)
        observation, _, _, _, info = env.step(action)
        apart = np.linalg.norm(np.array(places()) - [info["x"], info["y"]], axis=1)
        nearest = np.minimum(nearest, apart)
    found: list[bool] = (nearest < REACH).tolist()
    return found


def main() -> None:
    """Measure all places with the gaits of all seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/going-ants"))
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2])
    given = parser.parse_args()
    for seed in given.seeds:
        path = repertoire(given.folder, seed)
        archive = esengine.load_archive(path)
        row: dict[str, Any] = {
            "seed": seed,
            "gaits": archive.cells.size,
            "reached": [],
            "steps": [],
        }
        for place in places():
            demonstrations = esengine.collect(
                skills=(path,),
                env_id=ENVIRONMENT,
                env_arg=(f"target={list(place)}",),
                planner_arg=("elites=6", "skill_steps=20", "width=16", "depth=12"),
                episodes=1,
                seed=seed,
                workers=1,
            )
            row["reached"].append(bool(demonstrations.returns[0] > 0))
            row["steps"].append(demonstrations.num_steps)
            print(seed, place, row["reached"][-1], row["steps"][-1], flush=True)
        row["alone"] = max(sum(passed(policy)) for policy in archive.policies())
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
