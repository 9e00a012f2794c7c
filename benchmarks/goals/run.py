"""Measure training on goals; writes ``benchmarks/goals/RESULTS.md`` and ``results.json``.

``python -m benchmarks.goals.run`` takes about half an hour on a quiet core. With ``--parts``,
``--seeds`` or ``--arms`` it measures a part and keeps the other figures.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, get_args

import numpy as np

from benchmarks.goals.report import write_report
from esengine.demonstrations.half_random import Wanderer, Wandering, coverage
from esengine.demonstrations.recording import Acting, record_episode
from esengine.environments import EnvironmentSpec, Rules, describe
from esengine.goals import GoalLayout
from esengine.launch.cli import main
from esengine.policies import Actor, PolicySpec

HERE = Path(__file__).parent
MAZE = "esengine/PointMaze-v0"
STEPS_OF_A_RUN = 40_000_000
TASK = ["--env-id", MAZE, "--env-arg", "maze=meander", "--sigma", "0.2", "--hidden-sizes", "32"]
SETTINGS = [
    "--population-size",
    "128",
    "--episodes-per-member",
    "4",
    "--max-env-steps",
    str(STEPS_OF_A_RUN),
]
SETTINGS += ["--generations", "10000", "--final-episodes", "100"]
ARMS = {"own goals": ["--goals", "own"], "curriculum": ["--goals", "curriculum"]}
FIRST = [
    "--population-size",
    "10000",
    "--episodes-per-member",
    "1",
    "--generations",
    "2",
    "--learning-rate",
    "1e-9",
]
CELL, EPISODES, STEPS = 0.5, 100, 150  # of the measurement of coverage


def train(flags: list[str], seed: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A run's rows and how it ended."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "run"
        command = ["train", "openai-es", *TASK, *flags, "--seed", str(seed), "--run-dir", str(path)]
        if main([*command, "--ranks", "1", "--quiet"]):
            sys.exit(f"esengine {' '.join(command)} failed")
        rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        return rows, json.loads((path / "done.json").read_text())


def measure_first(seed: int) -> dict[str, Any]:
    """How many members about the first mean reach the environment's own goal, their observations
    scaled.
    """
    rows, _ = train(FIRST, seed)
    members = int(FIRST[1])
    return {"seed": seed, "members": members, "reached": round(rows[-1]["fitness_mean"] * members)}


def measure_curriculum(arm: str, seed: int) -> dict[str, Any]:
    """One run: success over fresh episodes at the environment's own goals, and how training
    went.
    """
    rows, done = train([*SETTINGS, *ARMS[arm]], seed)
    training = np.array([row.get("success_train", row["fitness_mean"]) for row in rows])
    reached = [row["env_steps"] for row in rows if row.get("episode_return_eval", 0) >= 0.9]
    return {
        "arm": arm,
        "seed": seed,
        "success": done["final_return"],
        "env_steps": done["env_steps"],
        "generations": done["generations"],
        "training_success": round(float(training.mean()), 3),
        "in_band": round(float(((training >= 0.3) & (training <= 0.7)).mean()), 3),
        "first_at_0.9": reached[0] if reached else None,
    }


def measure_coverage() -> list[dict[str, Any]]:
    """Cells of the maze that random episodes visit, and the entropy of the visits."""
    env = EnvironmentSpec(MAZE, {"maze": "u"}).make()
    observations, action = describe(env)
    spec, layout = PolicySpec(observations.dim, action), GoalLayout.of(env)
    still = np.zeros(observations.dim, np.float32)
    actor = Actor(spec, np.zeros(spec.num_parameters, np.float32), still, still)
    rows = []
    for how in ("independent", *get_args(Wandering)):
        visited = []
        for seed in range(EPISODES):
            if how == "independent":
                random = np.random.default_rng(seed)
                env.reset(seed=seed)
                places = [
                    env.step(random.uniform(-1, 1, 2).astype(np.float32))[0]["achieved_goal"]
                    for _ in range(STEPS)
                ]
                visited.append(np.array(places))
            else:
                one = record_episode(
                    env,
                    observations,
                    actor,
                    Wanderer(how, action),
                    Rules(()),
                    Acting(),
                    seed,
                    max_steps=STEPS,
                )
                visited.append(layout.achieved_of(one.trajectory.observations[1:]))
        cells, entropy = coverage(np.concatenate(visited), CELL)
        rows.append({"actions": how, "cells": cells, "entropy": round(entropy, 3)})
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--parts", nargs="+", default=["first", "curriculum", "coverage"], help="what to measure"
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=list(range(7)), help="of the runs of the curriculum"
    )
    parser.add_argument(
        "--arms",
        nargs="+",
        default=list(ARMS),
        choices=list(ARMS),
        help="of the runs of the curriculum",
    )
    parser.add_argument("--note", help="what the page says about the figures")
    chosen = parser.parse_args()
    file = HERE / "results.json"
    results: dict[str, Any] = (
        json.loads(file.read_text())
        if file.exists()
        else {"note": "", "first": [], "curriculum": [], "coverage": []}
    )
    if "first" in chosen.parts:
        results["first"] = [measure_first(seed) for seed in chosen.seeds]
    if "coverage" in chosen.parts:
        results["coverage"] = measure_coverage()
    for own_seed in chosen.seeds if "curriculum" in chosen.parts else ():
        for own_arm in chosen.arms:
            row = measure_curriculum(own_arm, own_seed)
            kept = [
                one
                for one in results["curriculum"]
                if (one["arm"], one["seed"]) != (own_arm, own_seed)
            ]
            results["curriculum"] = sorted(
                [*kept, row], key=lambda one: (list(ARMS).index(one["arm"]), one["seed"])
            )
            file.write_text(json.dumps(results, indent=1) + "\n")
    results |= {"settings": " ".join([*TASK[4:], *SETTINGS[:4]]), "steps": STEPS_OF_A_RUN}
    results |= {} if chosen.note is None else {"note": chosen.note}
    file.write_text(json.dumps(results, indent=1) + "\n")
    write_report(results, HERE / "RESULTS.md")
