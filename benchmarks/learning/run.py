"""``python -m benchmarks.learning.run``: run the cases, seed after seed, and write ``RESULTS.md``
beside this file.

Runs are kept under ``runs/learning``, and what came of them in ``results.json``. One that is
finished is not run again and one that was stopped is resumed, so that the program may be ended and
started at any time; ``--report`` only writes the page.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.learning.cases import CASES, SEEDS, Case

HERE = Path(__file__).resolve().parent
RUNS = Path("runs/learning")


class Outcome(NamedTuple):
    """How one seed of a case ended.

    Attributes:
        episodes: of training until the threshold was first reached, or None if it never was.
        env_steps: of training by then, or in all.
        final_return: mean over 100 fresh episodes, which nothing was chosen by.
        seconds: of the run.
    """

    episodes: int | None
    env_steps: int
    final_return: float
    seconds: float


def main(arguments: Sequence[str]) -> int:
    """Run what is not finished and write the page; returns 0, or 1 if a run failed."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.learning.run", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="NAME",
        help="cases whose name holds one of these words",
    )
    parser.add_argument(
        "--ranks", type=int, default=1, help="workers of a run; the results do not depend on it"
    )
    parser.add_argument("--report", action="store_true", help="run nothing, write the page")
    options = parser.parse_args(arguments)
    failed, known = False, read_results(HERE)
    if not options.report:
        for case in CASES:
            if not options.only or any(word in case.name for word in options.only):
                failed |= not all(
                    [_run(case, seed, options.ranks) for seed in SEEDS if seed not in known[case]]
                )
                write_page(HERE, RUNS)
    write_page(HERE, RUNS)
    return int(failed)


def _run(case: Case, seed: int, ranks: int) -> bool:
    """Begin or go on with one seed; returns whether it is finished."""
    folder = _folder(RUNS, case, seed)
    if (folder / "done.json").exists():
        return True
    command = (
        ["resume", str(folder)]
        if (folder / "config.json").exists()
        else [*case.command(seed), "--run-dir", str(folder)]
    )
    print(f"{case.name} seed {seed}", file=sys.stderr, flush=True)
    subprocess.run(
        [sys.executable, "-m", "esengine", *command, "--ranks", str(ranks), "--quiet"], check=False
    )
    return (folder / "done.json").exists()


def outcome(case: Case, folder: Path) -> Outcome | None:
    """How a run ended, or None while it is not finished."""
    if not (folder / "done.json").exists():
        return None
    done = json.loads((folder / "done.json").read_text())
    rows: list[dict[str, Any]] = [
        json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]
    reached = [row for row in rows if row.get("episode_return_eval", -np.inf) >= case.threshold]
    last = reached[0] if reached else rows[-1]
    episodes = last["evaluations"] if reached else None
    return Outcome(
        episodes, last["env_steps"], done["final_return"], rows[-1]["machine"]["elapsed_s"]
    )


def read_results(home: Path) -> dict[Case, dict[int, Outcome]]:
    """What ``results.json`` holds of every case, by seed."""
    file = home / "results.json"
    raw = json.loads(file.read_text()) if file.exists() else {}
    return {
        case: {int(seed): Outcome(**each) for seed, each in raw.get(case.name, {}).items()}
        for case in CASES
    }


def write_page(home: Path, runs: Path) -> None:
    """Write ``RESULTS.md`` and ``results.json`` from the finished runs, and from those of before
    that are not here.
    """
    results = read_results(home)
    for case, outcomes in results.items():
        here = {seed: outcome(case, _folder(runs, case, seed)) for seed in SEEDS}
        outcomes |= {seed: each for seed, each in here.items() if each is not None}
    finished = {
        case: [outcomes[seed] for seed in sorted(outcomes)] for case, outcomes in results.items()
    }
    raw = {
        case.name: {seed: outcomes[seed]._asdict() for seed in sorted(outcomes)}
        for case, outcomes in results.items()
    }
    (home / "results.json").write_text(json.dumps(raw, indent=1) + "\n")
    (home / "RESULTS.md").write_text(page(finished))


def page(finished: dict[Case, list[Outcome]]) -> str:
    """The page, with a row for every case that has a finished seed, and the commands below."""
    lines = [
        "# Learning results",
        "",
        "Written by `make learn`: five seeds a case, each stopped at the first evaluation (every "
        "10 generations) whose mean",
        "return reaches the threshold. Episodes are those of training, evaluations apart; the "
        "median is over all seeds, one",
        "that did not get there being infinite. The final return is over 100 episodes that "
        "nothing was chosen by; where it is",
        "below the threshold, the evaluation that passed it, over the 10 to 100 episodes of its "
        "command, was a lucky one.",
        "",
        "| method | task | threshold | seeds | episodes, median | episodes, each seed | published "
        "| final return, each seed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(case, outcomes) for case, outcomes in finished.items() if outcomes]
    missing = [case.name for case, outcomes in finished.items() if len(outcomes) < len(SEEDS)]
    if missing:
        lines += ["", f"Not run yet, or not with every seed: {', '.join(missing)}."]
    lines += ["", "The commands, here for seed 0:", "", "```bash"]
    lines += [
        " ".join(["esengine", *case.command(0)]) for case, outcomes in finished.items() if outcomes
    ]
    return "\n".join([*lines, "```", ""])


def _row(case: Case, outcomes: list[Outcome]) -> str:
    episodes = [np.inf if each.episodes is None else each.episodes for each in outcomes]
    reached = sum(each.episodes is not None for each in outcomes)
    median = float(np.median(episodes))
    each = ", ".join(
        "never" if each.episodes is None else f"{each.episodes:,}" for each in outcomes
    )
    returns = ", ".join(f"{each.final_return:.0f}" for each in outcomes)
    name = f"{case.method} ({case.label})" if case.label else case.method
    middle = f"{median:,.0f}" if np.isfinite(median) else f"not within {case.episodes:,}"
    cells = [
        name,
        case.task,
        f"{case.threshold:g}",
        f"{reached} of {len(outcomes)}",
        middle,
        each,
        case.published,
        returns,
    ]
    return f"| {' | '.join(cells)} |"


def _folder(runs: Path, case: Case, seed: int) -> Path:
    return runs / f"{case.name}-{seed}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
