"""GAIL with evolution as the generator, and what must not work: ``python -m benchmarks.rewards.run`` writes RESULTS.md.

Budgets are environment steps, so that results do not depend on the machine. Every case is one process with one thread; a case
that is in results.json is not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SEEDS = 5


@dataclass(frozen=True)
class Case:
    """One run.

    Attributes:
        task: pendulum or cartpole (fixed horizon).
        kind: gail, or a control: random, constant, shuffled, blank (a constant reward), true (the environment's reward).
        demonstrations: how many.
        every: one step in so many of them.
        seed: of the run, and of the demonstrations' starts.
        env_steps: budget.
    """

    task: str
    kind: str
    demonstrations: int
    every: int
    seed: int
    env_steps: int

    @property
    def name(self) -> str:
        return "/".join(map(str, (self.task, self.kind, self.demonstrations, self.every, self.env_steps, self.seed)))


def cases() -> list[Case]:
    """All of them, the headlines first."""
    found = [Case("pendulum", "gail", 10, 1, seed, 12_000_000) for seed in range(SEEDS)]
    found += [Case("cartpole", "gail", 10, 10, seed, 6_000_000) for seed in range(SEEDS)]
    found += [Case("cartpole", "gail", 1, 10, seed, 6_000_000) for seed in range(SEEDS)]
    for seed in range(2):
        found += [
            Case("cartpole", kind, 10, 10, seed, 2_000_000) for kind in ("random", "constant", "shuffled", "blank", "true")
        ]
        found += [Case("pendulum", kind, 10, 1, seed, 3_000_000) for kind in ("random", "shuffled", "blank", "true")]
    return found


def main(arguments: list[str]) -> int:
    """Measure what is missing and write the page."""
    parser = argparse.ArgumentParser(prog="benchmarks.rewards.run", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="cases whose names have one of these in them")
    parser.add_argument("--most", type=int, default=1000, help="cases to measure now")
    options = parser.parse_args(arguments)
    file = HERE / "results.json"
    results: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    wanted = [case for case in cases() if case.name not in results]
    wanted = [case for case in wanted if not options.only or any(word in case.name for word in options.only)]
    for case in wanted[: options.most]:
        found = measure(case) | {"load": os.getloadavg()[0]}
        results = (json.loads(file.read_text()) if file.exists() else {}) | {case.name: found}
        file.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        print(f"{case.name}: {found['score']:.3f}", file=sys.stderr, flush=True)
    (HERE / "RESULTS.md").write_text(page(results))
    return 0


def measure(case: Case) -> dict[str, Any]:
    """Run a case in a process of its own, with one thread."""
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [sys.executable, "-m", "benchmarks.rewards.case", json.dumps(asdict(case))]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ | threads, cwd=HERE.parents[1], check=False)
    if result.returncode:
        raise SystemExit(f"{case.name} failed:\n{result.stderr}")
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def page(results: dict[str, Any]) -> str:
    """RESULTS.md: a row for each task, kind and number of demonstrations that has a result."""
    lines = [
        "# Learned rewards",
        "",
        "Scores over 100 fresh episodes: on Pendulum-v1 normalised, where random torques are 0 and the scripted expert is 1; "
        "on the cart-pole with a fixed horizon of 500 the share of the time that it balances. Written by "
        "`python -m benchmarks.rewards.run`; `cma-es` with 64 members makes the policies, two episodes a member on Pendulum-v1 "
        "and one on the cart-pole. The score is that of the last policy: nothing is chosen by the true reward. CPU seconds are "
        "of one process with one thread, compilation left out; those of Pendulum-v1 from demonstrations were taken at high "
        "priority, the others on two cores that were shared by dozens of processes.",
        "",
        "| task | what is learned from | steps kept | score by seed | least | 0.90 crossed after CPU s | M steps | CPU s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for case in cases():
        if case.name in results:
            key = (case.task, case.kind, case.demonstrations, case.every, case.env_steps)
            groups.setdefault(key, []).append(results[case.name])
    for (task, kind, count, every, env_steps), found in groups.items():
        scores = [one["score"] for one in found]
        crossed = ["-" if one["crossed_cpu_s"] is None else f"{one['crossed_cpu_s']:.0f}" for one in found]
        kept = "all" if every == 1 else f"1 in {every}"
        cells = (task, _what(kind, count), kept, _listed(scores), f"{min(scores):.2f}", " ".join(crossed))
        seconds = statistics.median(one["cpu_s"] for one in found)
        lines.append(f"| {' | '.join(cells)} | {env_steps / 1e6:g} | {seconds:.0f} |")
    return "\n".join([*lines, "", (HERE / "notes.md").read_text()]) if (HERE / "notes.md").exists() else "\n".join(lines) + "\n"


def _what(kind: str, count: int) -> str:
    words = {
        "gail": f"{count} demonstration{'s' if count > 1 else ''}",
        "random": "control: an expert that acts by chance",
        "constant": "control: an expert that always pushes left",
        "shuffled": "control: the expert's states with shuffled actions",
        "blank": "control: a constant reward",
        "true": "upper bound: the environment's reward",
    }
    return words[kind]


def _listed(numbers: Iterable[float]) -> str:
    return " ".join(f"{number:.2f}" for number in numbers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
