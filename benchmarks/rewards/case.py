"""One case: ``python -m benchmarks.rewards.case JSON``; prints one JSON object."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.imitation.run import peer_python
from benchmarks.rewards.run import HERE, Case
from benchmarks.rewards.tasks import TASKS, Task
from esengine import train
from esengine.algorithms.inverse_rl.expert_steps import expert_steps
from esengine.demonstrations import Demonstrations, save_demonstrations
from esengine.environments import EnvironmentSpec, describe
from esengine.rewards import LearnedReward, save_reward
from esengine.rewards.network import RewardSpec


def main(case: Case, cpu_seconds: float | None) -> dict[str, Any]:
    """Train, judge the policy, and tell when 0.90 was crossed."""
    task = TASKS[case.task]
    with tempfile.TemporaryDirectory() as name:
        if case.kind.startswith("imitation"):
            return of_peer(task, case, Path(name), cpu_seconds)
        method, settings = settings_of(task, case, Path(name))
        task.score(0.0)  # what counts as 0 and 1 may have to be measured first
        crossed: list[float] = []
        began = time.process_time()

        def watch(row: dict[str, Any]) -> None:
            nonlocal began
            if row["generation"] == 1:
                began = time.process_time()  # all is compiled now
            evaluated = row.get("episode_return_eval")
            if evaluated is not None and task.score(evaluated) >= 0.9:
                crossed.append(time.process_time() - began)

        train(method, callbacks=(watch,), **settings)
        cpu_s = time.process_time() - began
        returned = task.judge(settings["run_dir"])
        row = json.loads((settings["run_dir"] / "metrics.jsonl").read_text().splitlines()[-1])
    return {
        "score": task.score(returned),
        "mean_return": returned,
        "crossed_cpu_s": crossed[0] if crossed else None,
        "cpu_s": cpu_s,
        "env_steps": row["env_steps"],
    }


def settings_of(task: Task, case: Case, folder: Path) -> tuple[str, dict[str, Any]]:
    """The method of a case and all its settings; files that it needs are made in the folder."""
    settings: dict[str, Any] = {"seed": case.seed, "run_dir": folder / "run"}
    if task.anchors is not None:
        return by_default(task, case, settings, folder)
    settings["max_env_steps"] = case.env_steps
    settings |= {"env_id": task.env_id, "generations": 1_000_000, "checkpoint_every": 0}
    settings |= {"eval_every": 5, "eval_episodes": 20, "final_episodes": 1}
    if case.kind == "ppo":
        return "ppo", settings | _named(task.gradient)
    if case.kind in ("true", "blank"):
        method, *named = task.strategy
        settings |= task.search | _named(tuple(named))
        if case.kind == "blank":
            settings["reward"] = blank(task.env_id, folder)
        elif task.experts:
            settings["normalize_observations"] = False  # carts that run away would be the scale
        return method, settings
    method, _, generator = case.kind.partition(" by ")
    method = method if method in ("gail", "airl") else "gail"
    settings |= task.learning | {
        "demonstrations": (demonstrations(task, case, folder),),
        "every": case.every,
    }
    if generator == "ppo":
        by_policy_gradient = {
            "policy": "mlp",
            "hidden_sizes": (64, 64),
            "generator": "ppo",
            "generator_arg": task.gradient,
        }
        return method, settings | by_policy_gradient
    generator, *named = task.strategy
    return method, settings | task.search | {"generator": generator, "generator_arg": tuple(named)}


def by_default(
    task: Task, case: Case, settings: dict[str, Any], folder: Path
) -> tuple[str, dict[str, Any]]:
    """The method of a case with its defaults."""
    given = {"demonstrations": (demonstrations(task, case, folder),), "final_episodes": 1}
    method, _, generator = case.kind.partition(" by ")
    if method == "cloning":
        return "behavior-cloning", settings | given
    if generator:
        given["generator"] = generator
    return method, settings | given


def _named(texts: tuple[str, ...]) -> dict[str, Any]:
    return {name: json.loads(value) for name, _, value in (text.partition("=") for text in texts)}


def demonstrations(task: Task, case: Case, folder: Path) -> str:
    """The file of a case's demonstrations, with actions shuffled among the steps if that is its
    kind.
    """
    collected = task.demonstrate(case.kind, case.demonstrations, case.seed)
    if case.kind == "shuffled":
        collected = shuffled(collected, case.seed)
    save_demonstrations(folder / "demonstrations.npz", collected)
    return str(folder / "demonstrations.npz")


def shuffled(given: Demonstrations, seed: int) -> Demonstrations:
    """The same states with the actions of all of them in any order."""
    actions = np.concatenate([one.actions for one in given.trajectories])
    order = np.split(
        np.random.default_rng(seed).permutation(len(actions)), np.cumsum(lengths(given))[:-1]
    )
    mixed = [
        replace(one, actions=actions[rows])
        for one, rows in zip(given.trajectories, order, strict=True)
    ]
    return replace(given, trajectories=tuple(mixed))


def lengths(given: Demonstrations) -> list[int]:
    return [one.num_steps for one in given.trajectories]


def blank(env_id: str, folder: Path) -> Path:
    """A file of a reward of 0 everywhere."""
    observations, action = describe(EnvironmentSpec(env_id).make())
    save_reward(
        folder / "blank.safetensors", LearnedReward.blank(RewardSpec(observations.dim, action))
    )
    return folder / "blank.safetensors"


def of_peer(task: Task, case: Case, folder: Path, cpu_seconds: float | None) -> dict[str, Any]:
    """What the `imitation` package makes of the same steps of the same demonstrations, in an
    environment of its own.
    """
    given = task.demonstrate("gail", case.demonstrations, case.seed)
    steps = expert_steps(given, max(lengths(given)), case.every, case.seed)
    parts: dict[str, Any] = {
        "obs": steps.observations,
        "next_obs": steps.next_observations,
        "acts": steps.choices,
    }
    np.savez(folder / "steps.npz", **parts, dones=steps.next_absorbing)
    described = {
        "env_id": task.peer,
        "method": case.kind.split()[1],
        "steps": str(folder / "steps.npz"),
        "seed": case.seed,
        "env_steps": case.env_steps,
        "cpu_seconds": cpu_seconds,
    }
    command = [peer_python(), str(HERE / "peer.py"), json.dumps(described)]
    result = subprocess.run(
        command, capture_output=True, text=True, env=os.environ, cwd=folder, check=False
    )
    if result.returncode:
        raise SystemExit(result.stderr)
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found | {"score": task.score(found["mean_return"]), "crossed_cpu_s": None}


if __name__ == "__main__":
    print(json.dumps(main(Case(**json.loads(sys.argv[1])), json.loads(sys.argv[2]))))
