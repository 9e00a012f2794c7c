"""``python -m benchmarks.imitation.run``: imitation on Pendulum-v1, ours and the `imitation` package's; writes RESULTS.md.

Every figure is kept in ``results.json`` as soon as it is there, and one that is there is not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.imitation.ours import EXPERT
from benchmarks.imitation.starts import returns_of
from esengine.demonstrations import save_demonstrations
from esengine.launch.collecting import CollectSettings, collect_on
from esengine.world import World
from examples.pendulum import swing_up

HERE = Path(__file__).resolve().parent
SECONDS = 15.0  # of the column of equal time
LABELS = 20_000
_OURS = ("cloning", "cloning shielded", "dart", "dagger", "dagger rules", "jump start")


@dataclass(frozen=True)
class Case:
    """A method from some demonstrations with a seed and a budget."""

    package: str
    method: str
    trajectories: int
    seed: int
    max_time: float | None = None

    @property
    def name(self) -> str:
        return "/".join(str(part) for part in (self.package, self.method, self.trajectories, self.seed, self.max_time))


def cases(counts: list[int], seeds: int) -> list[Case]:
    """All of them, every method with one seed before any has two."""
    found = []
    for seed in range(seeds):
        for count in counts:
            found += [Case("esengine", method, count, seed) for method in _OURS if method != "jump start" or count == 10]
            found += [Case("imitation", method, count, seed) for method in ("cloning", "dagger")]
            found += [Case(package, "dagger", count, seed, SECONDS) for package in ("esengine", "imitation")]
    return found


def main(arguments: list[str]) -> int:
    """Measure what is missing and write the page."""
    parser = argparse.ArgumentParser(prog="benchmarks.imitation.run", description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 4, 10], help="numbers of demonstrations")
    parser.add_argument("--seeds", type=int, default=5, help="seeds of each case")
    parser.add_argument("--only", nargs="+", default=[], metavar="METHOD", help="methods, such as dagger, or packages")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of RESULTS.md and results.json")
    options = parser.parse_args(arguments)
    file = options.output / "results.json"
    results: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    wanted = cases(options.counts, options.seeds)
    if options.only:
        wanted = [case for case in wanted if case.method in options.only or case.package in options.only]
    for case in wanted:
        if case.name not in results:
            results[case.name] = measure(case) | {"load": os.getloadavg()[0]}
            print(f"{case.name}: {normalised(results[case.name]['returns']):.3f}", file=sys.stderr, flush=True)
            file.write_text(json.dumps(results, indent=1) + "\n")
    page = render(cases(options.counts, options.seeds), results)
    (options.output / "RESULTS.md").write_text(page)
    print(page)
    return 0


def measure(case: Case) -> dict[str, Any]:
    """Run one case in a process of its own, with one thread."""
    described = {
        "method": case.method,
        "seed": case.seed,
        "demonstrations": str(demonstrations(case.trajectories, case.seed)),
        "max_time": case.max_time,
        "labels": LABELS,
        "epochs": 500,
    }
    ours = case.package == "esengine"
    program = [sys.executable, "-m", "benchmarks.imitation.ours"] if ours else [peer_python(), str(HERE / "peer.py")]
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [*program, json.dumps(described)]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ | threads, cwd=HERE.parents[1], check=False)
    if result.returncode:
        raise SystemExit(f"{case.name} failed:\n{result.stderr}")
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def demonstrations(count: int, seed: int) -> Path:
    """The file of demonstrations that all methods of a seed learn from."""
    path = HERE / ".demonstrations" / f"pendulum-{count}-{seed}.npz"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        collected = collect_on(World(), CollectSettings(expert=EXPERT, env_id="Pendulum-v1", episodes=count, seed=1000 + seed))
        assert collected is not None
        save_demonstrations(path, collected)
    return path


def peer_python() -> str:
    """The interpreter of the package's own environment, which is made when it is first needed."""
    folder = HERE / ".env"
    python = folder / "bin" / "python"
    if not (folder / "whole").exists():
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt"], check=True)
        (folder / "whole").touch()
    return str(python)


def normalised(returns: list[float]) -> float:
    """(mean return - random's) / (expert's - random's), on the same starts."""
    random, expert = _anchors()
    return (statistics.fmean(returns) - random) / (expert - random)


def _anchors(cache: list[tuple[float, float]] = []) -> tuple[float, float]:  # noqa: B006 - measured once
    if not cache:
        import numpy as np

        generator = np.random.default_rng(0)
        random = returns_of(lambda observation: generator.uniform(-2, 2, 1).astype(np.float32))
        cache.append((statistics.fmean(random), statistics.fmean(returns_of(swing_up))))
    return cache[0]


def render(wanted: list[Case], results: dict[str, Any]) -> str:
    """The page: a row for each package, method and number of demonstrations whose seeds are all measured."""
    random, expert = _anchors()
    lines = [
        "# Imitation on Pendulum-v1",
        "",
        f"Normalised returns on 100 fixed starts, where random actions ({random:.1f}) are 0 and the scripted expert "
        f"({expert:.1f}) is 1: the mean over seeds, and the least. Written by `make imitation`; a row appears once all of its "
        "seeds are measured. 'Given' is the number of demonstrations. Each case is one process with one thread; on a busy "
        "machine its seconds grow and its CPU seconds hardly do. Load is the largest that was seen.",
        "",
        "| given | method | package | budget | normalised return | least | labels | seconds | CPU seconds | seeds | load |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[Any, ...], list[Case]] = {}
    for case in wanted:
        groups.setdefault((case.trajectories, case.method, case.package, case.max_time), []).append(case)
    for (count, method, package, limit), members in sorted(groups.items(), key=lambda item: str(item[0])):
        if all(case.name in results for case in members):
            found = [results[case.name] for case in members]
            scores = [normalised(one["returns"]) for one in found]
            seconds, cpu = (statistics.median(one[key] for one in found) for key in ("seconds", "cpu_seconds"))
            load = max(one["load"] for one in found)
            budget = f"{limit:g} s" if limit else ("1 M steps" if method == "jump start" else "to the end")
            lines.append(
                f"| {count} | {method} | {package} | {budget} | {statistics.fmean(scores):.3f} | {min(scores):.3f} "
                f"| {max(one['labels'] for one in found)} | {seconds:.1f} | {cpu:.1f} | {len(found)} | {load:.1f} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
