"""``python -m benchmarks.learning.lag``: what overlapped generations (``--lag 1``) cost in episodes,
and save in time where one member in ten takes eleven times as long. Writes ``LAG.md``.

Runs are kept under ``runs/lag``, and what came of them in ``lag.json``. One that is finished is not
run again, so that the program may be ended and started at any time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.learning.cases import SEEDS, Case
from benchmarks.learning.run import Outcome, outcome
from benchmarks.overlap import Case as Workload, simulated_share
from esengine.launch.settings.parse_train import parse_train
from esengine.launch.training.method_run import method_run

HERE = Path(__file__).resolve().parent
RUNS = Path("runs/lag")
LAGS = (0, 1)
WORKERS = 63

_SMALL = ("--population-size", "64", "--eval-every", "1", "--eval-episodes", "50")
_SMALLER = (
    *("--population-size", "16", "--episodes-per-member", "1"),
    *("--eval-every", "1", "--eval-episodes", "50"),
)
_CHEETAH = (
    *("--population-size", "64", "--sigma", "0.03"),
    *("--eval-every", "2", "--eval-episodes", "10"),
)
_ARS = ("--top-directions", "4", "--step-size", "0.02")
CASES = (
    Case("openai-es", "CartPole-v1", 475, 20_000, _SMALL),
    Case("ars", "CartPole-v1", 475, 20_000, _SMALL),
    Case("openai-es", "CartPole-v1", 475, 20_000, _SMALLER, label="16 members, one episode"),
    Case("ars", "CartPole-v1", 475, 20_000, _SMALLER, label="16 members, one episode"),
    Case("openai-es", "Pendulum-v1", -200, 100_000, _SMALL),
    Case("ars", "Pendulum-v1", -200, 100_000, _SMALL),
    Case("ars", "HalfCheetah-v5", 3000, 8_000, (*_CHEETAH, *_ARS)),
    Case("openai-es", "HalfCheetah-v5", 3000, 8_000, (*_CHEETAH, "--learning-rate", "0.02")),
)


def main(arguments: Sequence[str]) -> int:
    """Run what is not finished and write the page; returns 0, or 1 if a run failed."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.learning.lag", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--most", type=int, default=1000, help="runs that are begun")
    options = parser.parse_args(arguments)
    known = read_results()
    missing = [
        (case, seed, lag)
        for case in CASES
        for seed in SEEDS
        for lag in LAGS
        if options.only in case.name and key(case, seed, lag) not in known
    ]
    for case, seed, lag in missing[: options.most]:
        found = _run(case, seed, lag)
        if found is None:
            return 1
        known = read_results() | {key(case, seed, lag): found}
        raw = {name: known[name]._asdict() for name in sorted(known)}
        (HERE / "lag.json").write_text(json.dumps(raw, indent=1) + "\n")
    (HERE / "LAG.md").write_text(page(read_results()))
    return 0


def key(case: Case, seed: int, lag: int) -> str:
    """The name of a run, and of its folder."""
    return f"{case.name}-lag-{lag}-seed-{seed}".replace(",", "").replace(" ", "-")


def read_results() -> dict[str, Outcome]:
    """What ``lag.json`` holds, by the names of runs."""
    file = HERE / "lag.json"
    raw = json.loads(file.read_text()) if file.exists() else {}
    return {name: Outcome(**each) for name, each in raw.items()}


def _run(case: Case, seed: int, lag: int) -> Outcome | None:
    """How a run ended, or None if it failed."""
    folder = RUNS / key(case, seed, lag)
    words = [*case.command(seed), "--lag", str(lag), "--run-dir", str(folder)]
    if (folder / "config.json").exists():
        words = ["resume", str(folder)]
    subprocess.run(
        [sys.executable, "-m", "esengine", *words, "--workers", "1", "--quiet"], check=False
    )
    return outcome(case, folder)


def ratio(
    lagging: NDArray[np.float64], usual: NDArray[np.float64]
) -> tuple[float, tuple[float, float]]:
    """The ratio of mean episodes, and its 95 % interval by the percentile bootstrap over the seeds
    of both.
    """
    draw = np.random.default_rng(0)
    drawn = [
        draw.choice(lagging, lagging.size).mean() / draw.choice(usual, usual.size).mean()
        for _ in range(10_000)
    ]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(lagging.mean() / usual.mean()), (float(low), float(high))


def seconds_of_stragglers(generations: int, lag: int) -> float:
    """Mean lengths of usual members that some generations of 64 take on 63 workers, if one member
    in ten takes eleven times as long.
    """
    workload = Workload("stragglers", WORKERS + 1, lag, generations=generations)
    lengths = [workload.drawn(0, number, 1.0).sum() for number in range(1, generations + 1)]
    return float(sum(lengths)) / (WORKERS * simulated_share(workload, WORKERS))


def episodes_of_generation(case: Case) -> int:
    """The training episodes of a generation."""
    config: Any = parse_train(case.command(SEEDS[0])[1:])
    problem = method_run(config).check().problem
    return int(config.search.population_size * problem.episodes_per_member)


def page(known: dict[str, Outcome]) -> str:
    """The page, with a row for each case of which both lags have finished seeds."""
    lines = [
        "# Learning with overlapped generations",
        "",
        "Written by `python -m benchmarks.learning.lag`: training episodes until the first",
        "evaluation whose mean return reaches the threshold, with `--lag 0` and `--lag 1`, of",
        "seeds 0 to 4 in this order. A seed that did not reach it counts with its whole budget.",
        "The ratio is that of the means, with a 95 % interval by the percentile bootstrap. *Time* is",
        "the ratio of simulated times to the medians, if one member in ten takes eleven times as",
        "long, of generations of 64 members on 63 workers.",
        "",
        "| method | task | threshold | lag 0 | lag 1 | ratio | time |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [row(case, known) for case in CASES if key(case, SEEDS[-1], 1) in known]
    missing = [case.name for case in CASES if key(case, SEEDS[-1], 1) not in known]
    if missing:
        lines += ["", f"Not run yet: {', '.join(missing)}."]
    lines += ["", "The commands, here for seed 0:", "", "```bash"]
    lines += [" ".join(["esengine", *case.command(0), "--lag", "1"]) for case in CASES]
    return "\n".join([*lines, "```", ""])


def row(case: Case, known: dict[str, Outcome]) -> str:
    """The row of a case."""
    found = [[known[key(case, seed, lag)].episodes for seed in SEEDS] for lag in LAGS]
    spent = [np.array([each or case.episodes for each in one], np.float64) for one in found]
    mean, (low, high) = ratio(spent[1], spent[0])
    episodes = episodes_of_generation(case)
    seconds = [
        seconds_of_stragglers(round(float(np.median(one)) / episodes), lag)
        for one, lag in zip(spent, LAGS, strict=True)
    ]
    each = [", ".join("never" if one is None else f"{one:,}" for one in some) for some in found]
    method = f"{case.method} ({case.label})" if case.label else case.method
    cells = [method, case.task, f"{case.threshold:g}", *each]
    cells += [f"{mean:.2f} ({low:.2f} to {high:.2f})", f"{seconds[1] / seconds[0]:.2f}"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
