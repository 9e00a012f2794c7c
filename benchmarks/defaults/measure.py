"""One cell of the table: a run with a method's defaults, its start and its end on the same fresh
episodes; and what does not learn at all.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from benchmarks.defaults.tasks import Task
from esengine.launch.cli import main
from esengine.launch.results.evaluation import EvaluateSettings, evaluate_on
from esengine.launch.settings.parse_train import parse_train
from esengine.launch.training.problem_from_settings import (
    environment_problem,
    initial_row,
    trained_policy,
)
from esengine.policies import save_policy
from esengine.ranks import World

EPISODES = 50
FRESH = 1_000_000  # seed of the episodes of the table, which no run uses


def run(task: Task, method: str, seed: int, folder: Path) -> dict[str, Any]:
    """The results of one run, which is kept in a folder. Raises RuntimeError if it fails."""
    words = [method, "--env-id", task.env_id, "--seed", str(seed)]
    first = returns_of(_first_policy(words, zero=False))
    budget = ["--max-env-steps", str(task.env_steps), "--generations", "1000000000"]
    began = time.process_time()
    status = main(["train", *words, *budget, "--run-dir", str(folder), "--ranks", "1", "--quiet"])
    cpu_s = time.process_time() - began
    if status:
        raise RuntimeError(f"{method} on {task.env_id} with seed {seed} ended with {status}")

    done = json.loads((folder / "done.json").read_text())
    final = returns_of(folder)
    gained = final - first
    return {
        "task": task.env_id,
        "method": method,
        "seed": seed,
        "final": round(float(final.mean()), 2),
        "first": round(float(first.mean()), 2),
        "gained": round(float(gained.mean()), 2),
        "standard_error": round(float(gained.std(ddof=1) / np.sqrt(EPISODES)), 2),
        "env_steps": done["env_steps"],
        "eval_env_steps": done["eval_env_steps"],
        "policy_generation": done["policy_generation"],
        "generations": done["generations"],
        "reason": done["reason"],
        "cpu_s": round(cpu_s, 1),
    }


def references(task: Task) -> dict[str, Any]:
    """The returns of the policy whose parameters are all zero, and of random actions."""
    zero = returns_of(_first_policy(["ars", "--env-id", task.env_id], zero=True))
    return {
        "task": task.env_id,
        "zero": round(float(zero.mean()), 2),
        "random": round(float(_random_returns(task.env_id).mean()), 2),
    }


def returns_of(policy: Path) -> NDArray[np.float64]:
    """(EPISODES,) returns of a run's policy, or of a policy file."""
    evaluation = evaluate_on(World(), policy, EvaluateSettings(EPISODES, FRESH))
    assert evaluation is not None
    return np.array(evaluation.returns)


def _first_policy(words: list[str], zero: bool) -> Path:
    """A file of the policy that a run starts from, or of one whose parameters are all zero."""
    config = parse_train(words)
    problem = environment_problem(config)
    row = initial_row(config.train, problem)
    path = Path(tempfile.mkdtemp()) / "policy.safetensors"
    save_policy(path, trained_policy(problem, row * 0 if zero else row))
    return path


def _random_returns(env_id: str) -> NDArray[np.float64]:
    """(EPISODES,) returns of actions that are drawn uniformly."""
    env = gymnasium.make(env_id)
    env.action_space.seed(FRESH)
    returns = np.zeros(EPISODES)
    for episode in range(EPISODES):
        env.reset(seed=FRESH + episode)
        ended = False
        while not ended:
            _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            returns[episode] += float(reward)
            ended = terminated or truncated
    env.close()
    return returns
