"""``python -m benchmarks.defaults``: run what is missing in the table, and write ``RESULTS.md``.

Results are added to ``results.jsonl`` one by one, so that the program may be ended and started at
any time. Box2D tasks need ``pip install box2d``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.defaults.measure import references, run
from benchmarks.defaults.page import Row, page, read
from benchmarks.defaults.tasks import METHODS, SEEDS, TASKS

HERE = Path(__file__).resolve().parent


def main(arguments: Sequence[str]) -> int:
    """Measure and write the page; returns 0."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.defaults", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--tasks", nargs="+", default=[task.env_id for task in TASKS])
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--report", action="store_true", help="run nothing, write the page")
    options = parser.parse_args(arguments)

    file = HERE / "results.jsonl"
    known = {_name(row) for row in read(file)}
    tasks = [task for task in TASKS if task.env_id in options.tasks and not options.report]
    for task in tasks:
        if (task.env_id,) not in known:
            _add(file, references(task))
    for seed in options.seeds:
        for task in tasks:
            for method in options.methods:
                if (task.env_id, method, seed) in known:
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    _add(file, run(task, method, seed, Path(folder) / "run"))

    (HERE / "RESULTS.md").write_text(page(read(file)))
    return 0


def _name(row: Row) -> tuple[object, ...]:
    """What a row is the result of."""
    return tuple(row[name] for name in ("task", "method", "seed") if name in row)


def _add(file: Path, row: Row) -> None:
    with file.open("a") as lines:
        lines.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
