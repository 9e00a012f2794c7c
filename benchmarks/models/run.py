"""Measure models that are learned from samples; writes ``benchmarks/models/RESULTS.md`` and
``results.json``.

``python -m benchmarks.models.run`` takes a few hours on a quiet core. With ``--parts`` or
``--seeds`` it measures a part and keeps the other figures.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.models.linear import measure_linear
from benchmarks.models.report import write_report
from esengine.demonstrations import load_demonstrations
from esengine.launch.cli import main

HERE = Path(__file__).parent
STARTS = ["--episodes", "100", "--seed", "1000"]  # the same for all policies
PLANS = ["--episodes", "20", "--seed", "1000"]  # of planners, which take longer
Row = dict[str, Any]


class Guided(NamedTuple):
    """A task of guided policy search with fitted models.

    Attributes:
        env_id: the environment.
        settings: of guided policy search.
        planner: flags of the expert that plans in the simulator.
        episodes: of that expert.
        evolution: the strategy at equal steps, with its settings.
    """

    env_id: str
    settings: tuple[str, ...]
    planner: tuple[str, ...]
    episodes: int
    evolution: tuple[str, ...]


GUIDED = [
    Guided(
        "Reacher-v5",
        (
            *("--generations", "5", "--episodes-per-round", "4"),
            *("--policy-deviation", "0.2", "--kl-step", "2"),
        ),
        ("--planner", "cross-entropy", "--planner-arg", "horizon=15", "num_candidates=32"),
        20,
        ("openai-es", "--population-size", "32"),
    ),
]
PENDULUM = "Pendulum-v1"
PETS = ["--env-id", PENDULUM, "--episodes-per-round", "2", "--generations", "25"]  # of 200 steps
PLANNER = ["--planner", "cross-entropy", "--planner-arg"]
PLANNER += ["num_candidates=32", "num_iterations=3", "horizon=20"]


def esengine(*words: str) -> None:
    """An ``esengine`` command in this process; ends the measurement if it fails."""
    quiet = [] if words[0] == "evaluate" else ["--quiet"]
    status = main([*words, *quiet, "--workers", "1"])
    if status:
        sys.exit(f"esengine {' '.join(words)} ended with {status}")


def collected(folder: Path, *flags: str) -> float:
    """The mean return of the episodes that ``esengine collect`` records."""
    out = folder / "collected.npz"
    esengine("collect", *flags, "--out", str(out))
    return float(load_demonstrations([out]).returns.mean())


def evaluated(folder: Path, run: Path) -> float:
    """The mean return of a run's policy on the starts that all policies share."""
    report = folder / "evaluation.json"
    esengine("evaluate", str(run), *STARTS, "--json", str(report))
    return float(json.loads(report.read_text())["mean_return"])


def trained(folder: Path, seed: int, *words: str) -> tuple[Path, list[Row]]:
    """A run's folder and its rows."""
    path = folder / f"{words[0]}-{seed}"
    esengine("train", *words, "--seed", str(seed), "--run-dir", str(path))
    return path, [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def measure_guided(folder: Path, seeds: list[int]) -> list[Row]:
    """Guided policy search by rollouts, and what others reach after equal steps."""
    rows = []
    for task in GUIDED:
        env = ("--env-id", task.env_id)
        starts = ("--episodes", str(task.episodes), "--seed", "1000")
        expert = collected(folder, *env, *task.planner, *starts)
        nobody = collected(folder, *env, "--expert", "benchmarks.planners.run:Nobody", *starts)
        for seed in seeds:
            here = folder / f"{task.env_id}-{seed}"
            flags = ("--planner", "ilqr", "--dynamics", "fitted", *task.settings)
            guided, lines = trained(
                here, seed, "guided-policy-search", *env, *flags, "--eval-every", "0"
            )
            steps = ("--max-env-steps", str(lines[-1]["env_steps"]), "--eval-every", "0")
            others = [("ppo", *env, *steps), (*task.evolution, *env, *steps)]
            returns = {"guided-policy-search": evaluated(here, guided)}
            for words in others:
                returns[words[0]] = evaluated(here, trained(here, seed, *words)[0])
            for method, value in returns.items():
                rows.append(
                    {
                        "env_id": task.env_id,
                        "method": method,
                        "seed": seed,
                        "env_steps": lines[-1]["env_steps"],
                        "episodes": lines[-1]["evaluations"],
                        "mean_return": round(value, 2),
                        "normalized": round((value - nobody) / (expert - nobody), 3),
                        "expert": round(expert, 2),
                        "random": round(nobody, 2),
                    }
                )
    return rows


def measure_pets(folder: Path, seeds: list[int]) -> list[Row]:
    """The planner in the learned model after 10,000 steps, and the same planner in the simulator,
    from the same starts.
    """
    plan = ("--env-id", PENDULUM, *PLANNER, *PLANS)
    simulated = collected(folder, *plan)
    rows = []
    for seed in seeds:
        run, lines = trained(folder, seed, "pets", *PETS, *PLANNER, "--eval-every", "0")
        learned = collected(folder, *plan, "--dynamics", "learned", "--model", str(run))
        rows.append(
            {
                "seed": seed,
                "env_steps": lines[-1]["env_steps"],
                "planner_return": round(learned, 1),
                "simulator_return": round(simulated, 1),
                "policy_return": round(evaluated(folder, run), 1),
                "steps_to_300": next(
                    (row["env_steps"] for row in lines if row["return_recorded"] > -300), None
                ),
            }
        )
    return rows


def measure_shown(folder: Path, seeds: list[int]) -> list[Row]:
    """Ten demonstrations, and nothing else: a clone, and a planner in a model of them."""
    rows = []
    for seed in seeds:
        demos = folder / f"demos-{seed}.npz"
        env = ("--env-id", PENDULUM)
        esengine(
            *("collect", *env, "--planner", "mppi", "--episodes", "10"),
            *("--seed", str(seed), "--out", str(demos)),
        )
        given = ("--demonstrations", str(demos), "--eval-every", "0")
        clone, _ = trained(folder, seed, "behavior-cloning", *given)
        fit = ("--episodes-per-round", "0", "--generations", "10")
        model, _ = trained(folder, 100 + seed, "pets", *given, *fit)
        learned = ("--dynamics", "learned", "--model", str(model))
        rows.append(
            {
                "seed": seed,
                "clone_return": round(evaluated(folder, clone), 1),
                "planner_return": round(collected(folder, *env, *PLANNER, *PLANS, *learned), 1),
            }
        )
    return rows


PARTS: dict[str, Callable[[Path, list[int]], list[Row]]] = {
    "linear": measure_linear,
    "guided": measure_guided,
    "pets": measure_pets,
    "shown": measure_shown,
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="measure learned models")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--note", help="what the page says about the machine")
    return parser.parse_args()


if __name__ == "__main__":
    chosen = parse()
    file = HERE / "results.json"
    for part in chosen.parts:
        with tempfile.TemporaryDirectory() as name:
            rows = PARTS[part](Path(name), chosen.seeds)
        results: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"note": ""}
        if chosen.note is not None:
            results["note"] = chosen.note
        kept = [row for row in results.get(part, []) if row["seed"] not in chosen.seeds]
        results[part] = sorted(kept + rows, key=lambda row: (row.get("method", ""), row["seed"]))
        file.write_text(json.dumps(results, indent=1) + "\n")
        write_report(results, HERE / "RESULTS.md")
