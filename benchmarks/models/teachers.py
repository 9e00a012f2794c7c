"""Cloning, DAgger, PLATO and guided policy search at equal and few labels of one planner."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

from benchmarks.models.commands import Row, collected, esengine, evaluated, trained

SWING_UP = "esengine/CartPoleSwingUp-v0"


class Task(NamedTuple):
    """A planner and those who learn from it.

    Attributes:
        title: what it is called on the page.
        env: flags of the environment.
        num_steps: of an episode at most.
        planner: flags of the teacher.
        labels: at least, for every method.
    """

    title: str
    env: tuple[str, ...]
    num_steps: int
    planner: tuple[str, ...]
    labels: int


SWINGING = ("--planner", "mppi", "--planner-arg", "horizon=60", "noise_correlation=0.8")
FEW = Task(
    "CartPoleSwingUp-v0, the whole state, few labels",
    ("--env-id", SWING_UP, "--env-arg", "max_episode_steps=200"),
    200,
    SWINGING,
    400,
)

ROUNDS = ["--episodes-per-round", "1", "--generations", "1000", "--gradient-steps", "500"]
ROUNDS += ["--validation-episodes", "5", "--eval-every", "0"]
ALWAYS = ("--mixing", "linear", "--mixing-rounds", "1000000000")  # the planner acts
METHODS: dict[str, tuple[str, ...]] = {
    "behavior-cloning": (),
    "cloning in rounds": ("dagger", *ALWAYS),
    "dagger": ("dagger",),
    "plato": ("plato",),
    "guided-policy-search": ("guided-policy-search",),
}


def measure_teachers(
    task: Task, methods: list[str], folder: Path, seeds: list[int]
) -> Iterator[Row]:
    """What each method reaches on a task."""
    few = ("--episodes", "5", "--seed", "1000")
    nobody = ("--expert", "benchmarks.planners.run:Nobody")
    planner = collected(folder, *task.env, *task.planner, *few)
    random = collected(folder, *task.env, *nobody, *few)
    for method, seed in product(methods, seeds):
        if not METHODS[method]:
            run, lines = cloned(folder / method, seed, task)
        else:
            run, lines = asked(folder / method, seed, task, METHODS[method])
        value = evaluated(folder, run, 50)
        yield {
            "task": task.title,
            "method": method,
            "seed": seed,
            "labels": lines[-1]["labels"],
            "mean_return": round(value, 2),
            "normalized": round((value - random) / (planner - random), 4),
            "planner": round(planner, 1),
            "random": round(random, 1),
            "settings": " ".join(task.planner),
        }


def asked(folder: Path, seed: int, task: Task, words: tuple[str, ...]) -> tuple[Path, list[Row]]:
    """A run of a method that asks the planner in rounds."""
    limit = ("--max-labels", str(task.labels))
    return trained(folder, seed, *words, *task.env, *task.planner, *ROUNDS, *limit)


def cloned(folder: Path, seed: int, task: Task) -> tuple[Path, list[Row]]:
    """A clone of whole episodes of the planner."""
    episodes = -(-task.labels // task.num_steps)
    folder.mkdir(parents=True, exist_ok=True)
    demos = folder / "demos.npz"
    esengine(
        *("collect", *task.env, *task.planner, "--episodes", str(episodes)),
        *("--seed", str(seed), "--out", str(demos)),
    )
    fit = ("--generations", str(5 * episodes), "--eval-every", "0")  # of 100 gradient steps
    return trained(folder, seed, "behavior-cloning", "--demonstrations", str(demos), *fit)
