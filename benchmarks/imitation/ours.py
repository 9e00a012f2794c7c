"""One case of ours: ``python -m benchmarks.imitation.ours JSON``; prints one JSON object."""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.imitation.tasks import TASKS, Task
from esengine import load_policy, train
from esengine.environments import load_rules

RULE = "examples.pendulum_rule"
_PASSED = 0.9  # the normalised return whose step count is told
_TARGET = (
    -180.0
)  # of the searches on the pendulum: 0.967 of the way from random actions to the expert
_SEARCH: dict[str, Any] = {
    "population_size": 64,
    "episodes_per_member": 1,
    "generations": 1000,
    "max_env_steps": 1_000_000,
    "target_return": _TARGET,
    "eval_every": 4,
    "eval_episodes": 50,
}


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Train as the case says, and give its returns, seconds, labels and environment steps."""
    task = TASKS[case["env_id"]]
    with tempfile.TemporaryDirectory() as folder:
        began, began_cpu = time.perf_counter(), time.process_time()
        run, before = _trained(task, case, Path(folder))
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - began_cpu
        row = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
        done = json.loads((run / "done.json").read_text())
        result = {
            "returns": task.returns(load_policy(run).act),
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
            "labels": int(row.get("labels", 0)),
            "env_steps": int(done["env_steps"]),
            "reason": done["reason"],
        }
        if before is not None:
            result["returns_before"] = task.returns(load_policy(before).act)
        if case["method"].endswith(" start"):
            result["env_steps_to_pass"] = _steps_to_pass(run, task.level(_PASSED))
        if case["method"] == "cloning" and not task.training:
            rules = load_rules((RULE,))
            result["returns_shielded"] = task.returns(
                load_policy(run).act, correction=rules.correction
            )
    return result


def _steps_to_pass(run: Path, level: float) -> int | None:
    """Environment steps after which an evaluation of the search first had a mean return of at least
    ``level``.
    """
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return next(
        (
            int(row["env_steps"])
            for row in rows
            if (row.get("episode_return_eval") or -math.inf) >= level
        ),
        None,
    )


def _trained(task: Task, case: dict[str, Any], folder: Path) -> tuple[Path, Path | None]:
    """The run of the case, and that of the policy that it began with."""
    common: dict[str, Any] = {"seed": case["seed"], "final_episodes": 1}
    learning = common | {
        "demonstrations": (case["demonstrations"],),
        "every": task.every,
        "eval_every": 0,
    }
    run, cloned = folder / "run", folder / "cloned"
    match case["method"]:
        case "dart" | "dagger" | "dagger rules":
            rules = (RULE,) if case["method"] == "dagger rules" else ()
            method = case["method"].split()[0]
            train(
                method, run_dir=run, expert=case["expert"], rules=rules, **task.rounds, **learning
            )
        case "cloning":
            train("behavior-cloning", run_dir=run, **learning)
        case "cold start":
            train("openai-es", run_dir=run, env_id=task.env_id, **_SEARCH, **common)
        case "jump start":
            train("behavior-cloning", run_dir=cloned, **learning)
            train(
                "openai-es",
                run_dir=run,
                env_id=task.env_id,
                init_policy=cloned,
                **_SEARCH,
                **common,
            )
            return run, cloned
    return run, None


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
