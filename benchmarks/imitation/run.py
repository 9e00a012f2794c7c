"""``python -m benchmarks.imitation.run``: imitation with our methods and with the `imitation`
package; writes RESULTS.md.

Every figure is kept in ``results.json`` as soon as it is there, and one that is there is not
measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.imitation.page import render
from benchmarks.imitation.tasks import HERE, TASKS

LABELS = 20_000
GRADIENT_STEPS = 20_000
_PEER_SEEDS = 2  # a run of its DAgger takes minutes
_EQUAL_TIME, _EQUAL_LABELS = "dagger in our time", "dagger in our labels"


@dataclass(frozen=True)
class Case:
    """A method from some demonstrations with a seed."""

    env_id: str
    package: str
    method: str
    count: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.env_id}/{self.package}/{self.method}/{self.count}/{self.seed}"


def cases() -> list[Case]:
    """All of them, every method with one seed before any has two."""
    found = []
    for seed in range(max(task.seeds for task in TASKS.values())):
        for task in TASKS.values():
            if seed >= task.seeds:
                continue
            for count in task.counts:
                methods = (
                    ["cloning", "dart", "dagger"]
                    if count == 1 or not task.training
                    else ["cloning"]
                )
                methods += [] if task.training else ["dagger rules"]
                methods += ["jump start", "cold start"] if count == 10 and not task.training else []
                found += [Case(task.env_id, "esengine", method, count, seed) for method in methods]
                if not task.training and seed < _PEER_SEEDS:
                    others = (
                        ["cloning", "dagger", _EQUAL_TIME, _EQUAL_LABELS]
                        if count == 1
                        else ["cloning"]
                    )
                    found += [
                        Case(task.env_id, "imitation", method, count, seed) for method in others
                    ]
    return found


def main(arguments: list[str]) -> int:
    """Measure what is missing and write the page."""
    parser = argparse.ArgumentParser(prog="benchmarks.imitation.run", description=__doc__)
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="NAME",
        help="environments, packages, methods or seeds",
    )
    parser.add_argument(
        "--output", type=Path, default=HERE, help="folder of RESULTS.md and results.json"
    )
    options = parser.parse_args(arguments)
    file, page = options.output / "results.json", options.output / "RESULTS.md"
    for case in cases():
        if not set(options.only) <= set(case.name.split("/")):
            continue
        results: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        if case.name in results:
            continue
        found = measure(case, results)
        if found is None:
            continue
        results = (
            json.loads(file.read_text()) if file.exists() else {}
        )  # another process may have written
        results[case.name] = found
        print(
            f"{case.name}: {found['normalised']:.3f} in {found['cpu_seconds']:.1f} CPU s",
            file=sys.stderr,
            flush=True,
        )
        file.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    results = json.loads(file.read_text())
    page.write_text(render(results))
    return 0


def measure(case: Case, results: dict[str, Any]) -> dict[str, Any] | None:
    """Run one case in a process of its own, with one thread; None if what it is compared with is
    not there yet.
    """
    task, limits = TASKS[case.env_id], {"cpu_seconds": None, "labels": LABELS}
    if case.method in (_EQUAL_TIME, _EQUAL_LABELS):
        compared = results.get(f"{case.env_id}/esengine/dagger/{case.count}/{case.seed}")
        if compared is None:
            return None
        limited = "cpu_seconds" if case.method == _EQUAL_TIME else "labels"
        limits[limited] = compared[limited]
    described = {
        "env_id": case.env_id,
        "method": case.method,
        "seed": case.seed,
        "demonstrations": str(task.demonstrations(case.count, case.seed)),
        "expert": task.expert,
        "starts": task.starts,
        "gradient_steps": GRADIENT_STEPS,
    } | limits
    ours = case.package == "esengine"
    program = (
        [sys.executable, "-m", "benchmarks.imitation.ours"]
        if ours
        else [peer_python(), str(HERE / "peer.py")]
    )
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [*program, json.dumps(described)]
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
    scores = {
        key.replace("returns", "normalised"): task.normalised(found[key])
        for key in found
        if key.startswith("returns")
    }
    return found | scores | {"load": os.getloadavg()[0]}


def peer_python() -> str:
    """The interpreter of the package's own environment, which is made when it is first needed."""
    folder = HERE / ".env"
    python = folder / "bin" / "python"
    if not (folder / "whole").exists():
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt"], check=True
        )
        (folder / "whole").touch()
    return str(python)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
