"""Learned rewards and what must not work: ``python -m benchmarks.rewards.run`` writes RESULTS.md.

Budgets are environment steps, so that results do not depend on the machine. Every case is one
process with one thread; a case that is in results.json is not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SEEDS, FEW_SEEDS = 5, 3
BY_DEFAULT = ("double pendulum", "mountain car", "lander")
LEARNERS = ("cloning", "gail", "gail by ppo", "airl by ppo", "inverse-rl by ppo", "inverse-rl")
IN_OUR_TIME = "in our time"


@dataclass(frozen=True)
class Case:
    """One run.

    Attributes:
        task: of `tasks.TASKS`.
        kind: gail, or gail or airl by ppo, policies by ppo instead of the task's strategy;
            imitation gail or airl, those of the package; ppo, on the environment's reward; or a
            control: random, constant, shuffled, blank (a constant reward), true (the environment's
            reward). On the tasks of `BY_DEFAULT`, cloning, or a learner with or without the method
            that makes its policies.
        demonstrations: how many.
        every: one step in so many of them.
        seed: of the run, and of the demonstrations' starts.
        env_steps: budget, or 0 for the default of the method.
    """

    task: str
    kind: str
    demonstrations: int
    every: int
    seed: int
    env_steps: int

    @property
    def name(self) -> str:
        return "/".join(
            map(
                str,
                (self.task, self.kind, self.demonstrations, self.every, self.env_steps, self.seed),
            )
        )


def cases() -> list[Case]:
    """All of them, the headlines first."""
    million = 1_000_000
    found = [
        Case("pendulum", "gail", 10, 1, seed, steps * million)
        for steps in (6, 12)
        for seed in range(SEEDS)
    ]
    found += [
        Case("cartpole", "gail", 10, 10, seed, steps * million)
        for steps in (4, 6)
        for seed in range(SEEDS)
    ]
    found += [Case("cartpole", "gail", 1, 10, seed, 4 * million) for seed in range(SEEDS)]
    for seed in range(FEW_SEEDS):
        for task, budgets, few in (
            ("halfcheetah", (3, 10), (300_000, million)),
            ("hopper", (3,), (300_000,)),
        ):
            found += [Case(task, "gail", 11, 20, seed, count * million) for count in budgets]
            found += [Case(task, "gail by ppo", 11, 20, seed, count) for count in few]
            found += [
                Case(task, f"imitation {method}", 11, 20, seed, 300_000)
                for method in ("gail", "airl")
            ]
        for task, every in (("pendulum", 1), ("cartpole", 10)):
            for method in ("gail", "airl"):
                found += [
                    Case(task, kind, 10, every, seed, 300_000)
                    for kind in (f"{method} by ppo", f"imitation {method}")
                ]
                found.append(
                    Case(task, f"imitation {method} {IN_OUR_TIME}", 10, every, seed, 300_000)
                )
        found += [
            Case(task, "ppo", 0, 1, seed, 100_000) for task in ("cartpole that falls", "pendulum")
        ]
        found += [Case("halfcheetah", "ppo", 0, 1, seed, million)]
    for seed in range(2):
        found += [
            Case("cartpole", kind, 10, 10, seed, 2 * million)
            for kind in ("random", "constant", "shuffled", "blank")
        ]
        found += [
            Case("pendulum", kind, 10, 1, seed, 3 * million)
            for kind in ("random", "shuffled", "blank")
        ]
        for task, steps in (("pendulum", 6), ("cartpole", 4), ("halfcheetah", 3), ("hopper", 3)):
            found.append(Case(task, "true", 0, 1, seed, steps * million))
    found += [
        Case(task, kind, 10, 1, seed, 0)
        for seed in range(FEW_SEEDS)
        for kind in LEARNERS
        for task in BY_DEFAULT
    ]
    return found


def main(arguments: list[str]) -> int:
    """Measure what is missing and write the page."""
    from benchmarks.rewards.page import page

    parser = argparse.ArgumentParser(prog="benchmarks.rewards.run", description=__doc__)
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="WORD",
        help="cases whose names have all of these in them",
    )
    parser.add_argument("--most", type=int, default=1000, help="cases to measure now")
    options = parser.parse_args(arguments)
    file = HERE / "results.json"
    results: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    wanted = [
        case
        for case in cases()
        if case.name not in results and all(word in case.name for word in options.only)
    ]
    for case in wanted[: options.most]:
        found = measure(case, results)
        if found is None:
            continue
        results = (json.loads(file.read_text()) if file.exists() else {}) | {case.name: found}
        file.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        print(
            f"{case.name}: {found['score']:.3f} in {found['cpu_s']:.0f} CPU s",
            file=sys.stderr,
            flush=True,
        )
    (HERE / "RESULTS.md").write_text(page(results))
    return 0


def measure(case: Case, results: dict[str, Any]) -> dict[str, Any] | None:
    """Run a case in a process of its own, with one thread; None if what it is compared with is not
    there yet.
    """
    limit: float | None = None
    if case.kind.endswith(IN_OUR_TIME):
        compared = (case.task, "gail", case.demonstrations)
        ours = [
            one
            for one in cases()
            if (one.task, one.kind, one.demonstrations) == compared and one.name in results
        ]
        if not ours:
            return None
        budget = min(one.env_steps for one in ours)
        limit = statistics.fmean(
            results[one.name]["cpu_s"] for one in ours if one.env_steps == budget
        )
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [
        sys.executable,
        "-m",
        "benchmarks.rewards.case",
        json.dumps(asdict(case)),
        json.dumps(limit),
    ]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | threads,
        cwd=HERE.parents[1],
        check=False,
    )
    if result.returncode:
        raise SystemExit(f"{case.name} failed:\n{result.stderr}")
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found | {"load": os.getloadavg()[0]}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
