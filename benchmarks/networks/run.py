"""``python -m benchmarks.networks.run``: what a memory is worth on tasks that need one; writes
RESULTS.md.

Every run is kept in ``results.json`` as soon as it has ended, and is not run again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import esengine

HERE = Path(__file__).resolve().parent
RUNS = Path("runs/networks")
SEEDS = range(5)
NETWORKS = ("full observation", "gru", "lstm", "four frames", "one frame")
FRAMES = ('FrameStackObservation={"stack_size": 4}',)
UNITS = 16


class Task(NamedTuple):
    """A task.

    Attributes:
        hidden, full: the settings of its environment, of which a part cannot be seen, and of the one
            that shows all.
        budget: settings of the search.
        random: mean return of a policy that does not look.
    """

    hidden: dict[str, Any]
    full: dict[str, Any]
    budget: dict[str, Any]
    random: float


METHOD = "openai-es"
MAZE = {"env_id": "examples.t_maze:TMaze-v0"}
TASKS = {
    "T-maze of 10 steps": Task(
        MAZE,
        MAZE | {"env_arg": ("visible=true",)},
        {"population_size": 128, "generations": 100, "episodes_per_member": 4},
        0.0,
    ),
    "CartPole-v1 without velocities": Task(
        {"env_id": "benchmarks.networks.tasks:CartPolePositions-v0"},
        {"env_id": "CartPole-v1"},
        {"population_size": 64, "generations": 50, "episodes_per_member": 2},
        22.0,
    ),
}


def measure(task: Task, network: str, seed: int, folder: Path) -> dict[str, float]:
    """Train, and evaluate on 100 fresh episodes."""
    began = time.process_time()
    if not (folder / "done.json").exists():
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was ended
        esengine.train(
            METHOD,
            **(task.full if network == "full observation" else task.hidden),
            **task.budget,
            env_wrapper=FRAMES if network == "four frames" else (),
            policy=network if network in ("gru", "lstm") else "mlp",
            hidden_sizes=(UNITS,),
            seed=seed,
            eval_every=0,
            run_dir=folder,
        )
    evaluation = esengine.evaluate(folder, episodes=100, seed=1000, trust_modules=True)
    return {"return": evaluation.mean_return, "cpu_seconds": time.process_time() - began}


def page(results: dict[str, dict[str, float]]) -> str:
    """RESULTS.md."""
    lines = [
        "# What a memory is worth",
        "",
        "`python -m benchmarks.networks.run` writes this page. A return is the mean of 100 fresh",
        "episodes; the table has the mean over seeds, the worst and the best. The share is that of",
        "the way from a policy that does not look to the mean with full observation. All networks",
        f"have {UNITS} hidden units, and all runs of a task the same budget.",
        "",
    ]
    for name, task in TASKS.items():
        full = of(results, name, "full observation")
        if not len(full):
            continue
        settings = ", ".join(f"{key} {value}" for key, value in task.budget.items())
        lines += [f"## {name}", "", f"{METHOD}, {settings}.", ""]
        lines += [
            "| network | seeds | mean return | worst | best | share |",
            "|---|---|---|---|---|---|",
        ]
        for network in NETWORKS:
            found = of(results, name, network)
            if not len(found):
                continue
            share = (found.mean() - task.random) / (full.mean() - task.random)
            lines.append(
                f"| {network} | {len(found)} | {found.mean():.2f} | {found.min():.2f} | "
                f"{found.max():.2f} | {share:.0%} |"
            )
        lines.append("")
    return "\n".join(lines)


def of(results: dict[str, dict[str, float]], task: str, network: str) -> Any:
    """The returns of a network's seeds."""
    names = (f"{task}/{network}/{seed}" for seed in SEEDS)
    return np.array([results[name]["return"] for name in names if name in results])


def main(arguments: list[str]) -> int:
    """Run what is missing, and write the page."""
    parser = argparse.ArgumentParser(prog="benchmarks.networks.run", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="tasks or networks")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no run later")
    options = parser.parse_args(arguments)
    file = HERE / "results.json"
    results: dict[str, dict[str, float]] = json.loads(file.read_text()) if file.exists() else {}
    began = time.perf_counter()

    for seed in SEEDS:
        for name, task in TASKS.items():
            for network in NETWORKS:
                key = f"{name}/{network}/{seed}"
                chosen = set(options.only) <= {name, network}
                if key in results or not chosen or time.perf_counter() - began > options.seconds:
                    continue
                results[key] = measure(
                    task, network, seed, RUNS / key.replace(" ", "-").replace("/", "-")
                )
                print(key, results[key], file=sys.stderr, flush=True)
                file.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")

    (HERE / "RESULTS.md").write_text(page(results))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
