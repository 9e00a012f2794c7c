"""Measure quality diversity beside pyribs: ``python -m benchmarks.diversity.run``.

Both get the same functions of a batch, the same archive, population and start, and as many
evaluations. They run in turns in one process on one core; seconds are those of the processor. A
figure is added to results.jsonl as soon as it is measured, and those that are there are not
measured again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import esengine
from benchmarks.diversity import problems
from benchmarks.diversity.problems import CELLS, DIMENSION, TASKS, Task

RESULTS = Path(__file__).parent / "results.jsonl"
METHODS = ("map-elites", "cma-me", "cma-mae")
POPULATION = 540
EMITTERS = 15
LINE_SIGMA = 0.2
THRESHOLD_RATE = 0.01


def ours(method: str, task: Task, generations: int, seed: int) -> dict[str, float]:
    """A run of esengine with its files in a temporary folder."""
    own: dict[str, Any] = {"line_sigma": LINE_SIGMA} if method == "map-elites" else {}
    own |= {"emitters": EMITTERS} if method != "map-elites" else {}
    own |= {"threshold_rate": THRESHOLD_RATE} if method == "cma-mae" else {}
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        esengine.train(
            method,
            objective=getattr(problems, task.name),
            dimension=DIMENSION,
            returns=("fitness", "m:x", "m:y"),
            batch=POPULATION,
            measure_ranges=(-task.width, task.width) * 2,
            cells=CELLS,
            population_size=POPULATION,
            sigma=task.sigma,
            generations=generations,
            checkpoint_every=0,
            seed=seed,
            run_dir=Path(folder) / "run",
            quiet=True,
            **own,
        )
        seconds = time.process_time() - began
        archive = esengine.load_archive(Path(folder) / "run")
    return {"qd_score": archive.qd_score, "coverage": archive.coverage, "seconds": seconds}


def pyribs(method: str, task: Task, generations: int, seed: int) -> dict[str, float]:
    """A run of pyribs as its examples do it."""
    from ribs.archives import GridArchive
    from ribs.emitters import EvolutionStrategyEmitter, IsoLineEmitter
    from ribs.schedulers import Scheduler

    began = time.process_time()
    shared: dict[str, Any] = {"solution_dim": DIMENSION, "dims": CELLS, "seed": seed}
    shared["ranges"] = [(-task.width, task.width)] * 2
    soft: dict[str, Any] = {}
    if method == "cma-mae":
        soft = {"learning_rate": THRESHOLD_RATE, "threshold_min": 0.0}
    archive = GridArchive(**shared, **soft)
    result = GridArchive(**shared) if soft else None
    start = np.zeros(DIMENSION)
    emitters: list[Any]
    own: dict[str, Any]
    if method == "map-elites":
        own = {"iso_sigma": task.sigma, "line_sigma": LINE_SIGMA, "x0": start}
        emitters = [IsoLineEmitter(archive, batch_size=POPULATION, seed=seed, **own)]
    else:
        own = {"x0": start, "sigma0": task.sigma, "batch_size": POPULATION // EMITTERS}
        own |= {"ranker": "imp", "selection_rule": "mu", "restart_rule": "basic"} if soft else {}
        emitters = [
            EvolutionStrategyEmitter(archive, seed=1000 * seed + number, **own)
            for number in range(EMITTERS)
        ]
    scheduler = Scheduler(archive, emitters, result_archive=result)
    evaluate = getattr(problems, task.name)
    for _ in range(generations):
        returned = evaluate(scheduler.ask())
        scheduler.tell(returned[:, 0], returned[:, 1:])
    seconds = time.process_time() - began
    stats = (archive if result is None else result).stats
    return {
        "qd_score": float(stats.qd_score),
        "coverage": float(stats.coverage),
        "seconds": seconds,
    }


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generations", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", nargs="*", default=METHODS)
    given = parser.parse_args()
    known = {}
    if RESULTS.exists():
        found = map(json.loads, RESULTS.read_text().splitlines())
        known = {tuple(each[name] for name in _KEY): each for each in found}

    with threadpool_limits(1):
        for run in (pyribs, ours):
            run("map-elites", TASKS[0], 2, 0)  # imports and kernels
        for seed in range(given.seeds):
            for task in TASKS:
                for method in given.methods:
                    for run in (pyribs, ours):
                        key = (method, task.name, given.generations, seed, run.__name__)
                        if key in known:
                            continue
                        row = dict(zip(_KEY, key, strict=True))
                        row |= run(method, task, given.generations, seed)
                        with RESULTS.open("a") as file:
                            file.write(json.dumps(row) + "\n")
                        print(json.dumps(row), flush=True)


_KEY = ("method", "task", "generations", "seed", "by")

if __name__ == "__main__":
    main()
