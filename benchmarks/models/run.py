"""Measure models that are learned from samples; writes ``benchmarks/models/RESULTS.md`` and
``results.json``.

``python -m benchmarks.models.run`` takes a few hours on a quiet core. With ``--parts`` or
``--seeds`` it measures a part and keeps the other figures.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.models.commands import PLANS, Row, collected, esengine, evaluated, trained
from benchmarks.models.linear import measure_linear
from benchmarks.models.report import write_report
from benchmarks.models.teachers import FEW, METHODS, measure_teachers

HERE = Path(__file__).parent


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


def measure_guided(folder: Path, seeds: list[int]) -> Iterator[Row]:
    """Guided policy search by rollouts, and what others reach after equal steps."""
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
                yield {
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


def measure_pets(folder: Path, seeds: list[int]) -> Iterator[Row]:
    """The planner in the learned model after 10,000 steps, and the same planner in the simulator,
    from the same starts.
    """
    plan = ("--env-id", PENDULUM, *PLANNER, *PLANS)
    simulated = collected(folder, *plan)
    for seed in seeds:
        run, lines = trained(folder, seed, "pets", *PETS, *PLANNER, "--eval-every", "0")
        learned = collected(folder, *plan, "--dynamics", "learned", "--model", str(run))
        yield {
            "seed": seed,
            "env_steps": lines[-1]["env_steps"],
            "planner_return": round(learned, 1),
            "simulator_return": round(simulated, 1),
            "policy_return": round(evaluated(folder, run), 1),
            "steps_to_300": next(
                (row["env_steps"] for row in lines if row["return_recorded"] > -300), None
            ),
        }


def measure_shown(folder: Path, seeds: list[int]) -> Iterator[Row]:
    """Ten demonstrations, and nothing else: a clone, and a planner in a model of them."""
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
        yield {
            "seed": seed,
            "clone_return": round(evaluated(folder, clone), 1),
            "planner_return": round(collected(folder, *env, *PLANNER, *PLANS, *learned), 1),
        }


PARTS: dict[str, Callable[[Path, list[int]], Iterable[Row]]] = {
    "linear": measure_linear,
    "guided": measure_guided,
    "pets": measure_pets,
    "shown": measure_shown,
    "few": partial(measure_teachers, FEW),
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="measure learned models")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument(
        "--methods", nargs="+", default=list(METHODS), choices=METHODS, help="of few"
    )
    parser.add_argument("--note", help="what the page says about the machine")
    return parser.parse_args()


def which(row: Row) -> tuple[Any, ...]:
    """What a row measures; a new one takes the place of an old one."""
    return (*(str(row.get(name, "")) for name in ("task", "env_id", "method")), row["seed"])


def save(part: str, row: Row, note: str | None) -> None:
    """Keep one more row, and write the page."""
    file = HERE / "results.json"
    results: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"note": ""}
    if note is not None:
        results["note"] = note
    rows = {which(one): one for one in [*results.get(part, []), row]}
    results[part] = [rows[key] for key in sorted(rows)]
    file.write_text(json.dumps(results, indent=1) + "\n")
    write_report(results, HERE / "RESULTS.md")


if __name__ == "__main__":
    chosen = parse()
    for part in chosen.parts:
        with tempfile.TemporaryDirectory() as name:
            measure = PARTS[part]
            if isinstance(measure, partial):
                measure = partial(measure, chosen.methods)
            for row in measure(Path(name), chosen.seeds):
                save(part, row, chosen.note)
