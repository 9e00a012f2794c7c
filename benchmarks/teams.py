"""``python -m benchmarks.teams``: how busy teams of ranks are, against list scheduling.

A generation should last as long as when the next member always goes to the first free team, at no
cost. The lengths of its members are what their first ranks measure. Members sleep, or solve a
linear system by Jacobi's method, whose parts their ranks exchange in every sweep.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.simulation import list_scheduling

Floats = NDArray[np.float64]
SIZE = 64  # unknowns of the Jacobi solver for each rank


def sleeping(x: Floats, comm: Any) -> float:
    """Sleep for 0.5 to 1.5 times the first number of a second; returns the seconds."""
    began = time.perf_counter()
    time.sleep(float(x[0]) * (0.5 + float(np.sum(np.abs(1e3 * x[1:]))) % 1.0))
    comm.Barrier()
    return time.perf_counter() - began


def jacobi(x: Floats, comm: Any) -> float:
    """Solve a dominant system by sweeps, a part of its rows on each rank, for as long as `sleeping`
    would sleep on an idle machine; returns the seconds.
    """
    began = time.perf_counter()
    until = began + float(x[0]) * (0.5 + float(np.sum(np.abs(1e3 * x[1:]))) % 1.0)
    size = SIZE * comm.size
    rows = np.random.default_rng(comm.rank).uniform(0, 1 / size, (SIZE, size))
    solution = np.zeros(size)
    part = np.zeros(SIZE)
    goes_on = np.ones(1)
    while goes_on[0]:
        for _ in range(20):
            part = (1 - rows @ solution) / 2
            comm.Allgather(part, solution)
        goes_on[0] = time.perf_counter() < until
        comm.Bcast(goes_on)
    return time.perf_counter() - began


def efficiency(teams: int, ranks: int, member: str, seconds: float, options: Any) -> list[float]:
    """The share of list scheduling that each generation reaches, the first one left out."""
    with tempfile.TemporaryDirectory(prefix="esengine-") as folder:
        run = Path(folder) / "run"
        flags = {
            "objective": f"benchmarks.teams:{member}",
            "dimension": 4,
            "initial-mean": f"{seconds} 0.5 0.5 0.5",
        }
        words = [
            word for name, value in flags.items() for word in (f"--{name}", *str(value).split())
        ]
        command = [sys.executable, "-P", "-m", "esengine", "train", "openai-es", *words]
        command += ["--sigma", "1e-4", "--learning-rate", "1e-9", "--keep-members", "--quiet"]
        command += ["--population-size", str(options.members), "--workers", str(teams)]
        command += ["--generations", str(options.generations + 1), "--checkpoint-every", "1"]
        command += ["--ranks-per-member", str(ranks), "--run-dir", str(run)]
        subprocess.run(command, check=True)
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        found = []
        for row, path in zip(rows[1:], sorted((run / "members").iterdir())[1:], strict=True):
            lengths = np.load(path)["value"]
            found.append(list_scheduling(lengths, teams) / row["machine"]["seconds"]["evaluate"])
        return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teams", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--members", type=int, default=64)
    parser.add_argument("--generations", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    for teams, ranks in zip(options.teams, options.ranks, strict=True):
        for member in ("sleeping", "jacobi"):
            shares = efficiency(teams, ranks, member, options.seconds, options)
            shown = " ".join(f"{share:.3f}" for share in shares)
            print(f"{teams} teams of {ranks}, {member} members: {shown}", flush=True)


if __name__ == "__main__":
    main()
