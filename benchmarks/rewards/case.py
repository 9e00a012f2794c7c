"""One case: ``python -m benchmarks.rewards.case JSON``; prints one JSON object."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.imitation.starts import returns_of
from benchmarks.rewards.run import Case
from esengine import evaluate, load_policy, train
from esengine.demonstrations import save_demonstrations
from esengine.environments import EnvironmentSpec
from esengine.launch.collecting import CollectSettings, collect_on
from esengine.reward_file import save_reward
from esengine.rewards import LearnedReward, RewardSpec
from esengine.spaces import describe
from esengine.trajectories import Demonstrations
from esengine.world import World

TASKS = {
    "pendulum": ("Pendulum-v1", "examples.pendulum:swing_up", "benchmarks.rewards.experts:random_force", 2),
    "cartpole": (
        "esengine/FixedHorizonCartPole-v0",
        "examples.cartpole_experts:balance",
        "benchmarks.rewards.experts:random_push",
        1,
    ),
}


def main(case: Case) -> dict[str, Any]:
    """Train, evaluate over 100 fresh episodes, and tell when 0.90 was crossed."""
    env_id, expert, by_chance, episodes = TASKS[case.task]
    zero, one = anchors(case.task)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings: dict[str, Any] = {"seed": case.seed, "run_dir": folder / "run", "max_env_steps": case.env_steps}
        settings |= {"env_id": env_id, "episodes_per_member": episodes, "generations": 1_000_000, "checkpoint_every": 0}
        settings |= {"eval_every": 5, "eval_episodes": 20, "final_episodes": 1}
        if case.kind in ("true", "blank"):
            method, settings["population_size"] = "cma-es", 64
            if case.kind == "blank":
                settings["reward"] = blank(env_id, folder)
        else:
            method = "gail"
            who = {"random": by_chance, "constant": "examples.cartpole_experts:constant"}.get(case.kind, expert)
            settings["demonstrations"] = (demonstrations(env_id, who, case, folder),)
            settings |= {"every": case.every, "generator_arg": ("population_size=64",)}
        crossed: list[float] = []
        began = time.process_time()

        def watch(row: dict[str, Any]) -> None:
            nonlocal began
            if row["generation"] == 1:
                began = time.process_time()  # all is compiled now
            evaluated = row.get("episode_return_eval")
            if evaluated is not None and (evaluated - zero) / (one - zero) >= 0.9:
                crossed.append(time.process_time() - began)

        train(method, (watch,), **settings)
        cpu_s = time.process_time() - began
        if case.task == "pendulum":
            returns = float(np.mean(returns_of(load_policy(folder / "run").act)))
        else:
            returns = evaluate(folder / "run", episodes=100, seed=12345).mean_return
        row = json.loads((folder / "run/metrics.jsonl").read_text().splitlines()[-1])
    return {
        "score": (returns - zero) / (one - zero),
        "crossed_cpu_s": crossed[0] if crossed else None,
        "cpu_s": cpu_s,
        "env_steps": row["env_steps"],
    }


def anchors(task: str) -> tuple[float, float]:
    """Mean returns that count as 0 and 1: of random torques and of the expert on the fixed starts, or none and the horizon."""
    return (-1207.6, -144.6) if task == "pendulum" else (0.0, 500.0)


def demonstrations(env_id: str, expert: str, case: Case, folder: Path) -> str:
    """The file of a case's demonstrations, with actions shuffled among the steps if that is its kind."""
    collected = collect_on(
        World(), CollectSettings(expert=expert, env_id=env_id, episodes=case.demonstrations, seed=1000 + case.seed)
    )
    assert collected is not None
    if case.kind == "shuffled":
        collected = shuffled(collected, case.seed)
    save_demonstrations(folder / "demonstrations.npz", collected)
    return str(folder / "demonstrations.npz")


def shuffled(given: Demonstrations, seed: int) -> Demonstrations:
    """The same states with the actions of all of them in any order."""
    actions = np.concatenate([one.actions for one in given.trajectories])
    order = np.split(np.random.default_rng(seed).permutation(len(actions)), np.cumsum(lengths(given))[:-1])
    mixed = [replace(one, actions=actions[rows]) for one, rows in zip(given.trajectories, order, strict=True)]
    return replace(given, trajectories=tuple(mixed))


def lengths(given: Demonstrations) -> list[int]:
    return [one.num_steps for one in given.trajectories]


def blank(env_id: str, folder: Path) -> Path:
    """A file of a reward of 0 everywhere."""
    observations, action = describe(EnvironmentSpec(env_id).make())
    save_reward(folder / "blank.safetensors", LearnedReward.blank(RewardSpec(observations.dim, action)))
    return folder / "blank.safetensors"


if __name__ == "__main__":
    print(json.dumps(main(Case(**json.loads(sys.argv[1])))))
