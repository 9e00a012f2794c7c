"""One case of ours: ``python -m benchmarks.imitation.ours JSON``; prints one JSON object."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.imitation.starts import returns_of
from esengine import load_policy, train
from esengine.rules import Rules, load_rules

EXPERT = "examples.pendulum:swing_up"
RULE = "examples.pendulum_rule"


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Train as the case says, and give its returns, seconds, labels and environment steps."""
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {"seed": case["seed"], "run_dir": Path(folder) / "run", "final_episodes": 1, "eval_every": 0}
        demonstrations = {"demonstrations": (case["demonstrations"],)}
        began, began_cpu = time.perf_counter(), time.process_time()
        if case["method"] in ("dagger", "dart", "dagger rules"):
            settings |= {"expert": EXPERT, "episodes_per_round": 8, "epochs_per_round": 12, "max_time": case["max_time"]}
            if case["method"] == "dagger rules":
                settings |= {"rules": (RULE,)}
            train(case["method"].split()[0], generations=12, **demonstrations, **settings)
        else:
            train("behavior-cloning", **demonstrations, **settings)
        if case["method"] == "jump start":
            settings |= {"run_dir": Path(folder) / "search", "init_policy": Path(folder) / "run", "population_size": 128}
            settings |= {"env_id": "Pendulum-v1", "max_env_steps": 1_000_000, "eval_every": 2, "eval_episodes": 20}
            train("openai-es", generations=1000, **settings)
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - began_cpu
        run = Path(settings["run_dir"])
        row = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
        policy = load_policy(run)
        shield = load_rules((RULE,)) if case["method"] == "cloning shielded" else Rules(())
        return {
            "returns": returns_of(policy.act, shield.correction),
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
            "labels": int(row.get("labels", 0)),
            "env_steps": int(row["env_steps"]),
        }


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
