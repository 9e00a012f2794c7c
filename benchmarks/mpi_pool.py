"""No-op tasks through ``MPIPoolExecutor``, timed.

``mpirun -n 3 python -m mpi4py.futures -m benchmarks.mpi_pool REQUEST ANSWER``; both are JSON files.

It imports nothing of esengine that opens MPI, since mpi4py's own pool owns the ranks.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def nothing(member: int) -> int:
    """The task."""
    return member


def main(question: Path, answer: Path) -> None:
    """The master's part; the other ranks serve inside mpi4py."""
    from mpi4py.futures import MPIPoolExecutor

    request = json.loads(question.read_text())
    with MPIPoolExecutor() as executor:
        list(executor.map(nothing, range(100)))  # connects the workers
        began = time.perf_counter()
        list(executor.map(nothing, range(request["num_tasks"]), unordered=True))
        seconds = time.perf_counter() - began
    answer.write_text(
        json.dumps({"seconds": seconds, "num_workers": int(os.environ["OMPI_COMM_WORLD_SIZE"]) - 1})
    )


if __name__ == "__main__":
    main(Path(sys.argv[-2]), Path(sys.argv[-1]))
