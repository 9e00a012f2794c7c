"""CMA-ES sets the heaters of a plate whose simulator is an MPI program.

Two ranks compute the temperatures of each member together. Each has half of the rows, and they
exchange the rows at the cut in every sweep of Jacobi's method.
"""

from pathlib import Path
from typing import Any

import numpy as np

import esengine

SIZE = 24  # cells in each direction; the edges of the plate are cold
SWEEPS = 400
HEATERS = ((5, 5), (5, 18), (18, 5), (18, 18), (12, 12))
TARGET = 1.0  # of all cells but those near the edges


def temperatures(strengths: np.ndarray, comm: Any) -> np.ndarray:
    """The temperatures of this rank's rows, (num_rows, SIZE)."""
    from mpi4py import MPI  # here, since the process that starts the search needs no MPI

    heat = np.zeros((SIZE, SIZE))
    for cell, strength in zip(HEATERS, strengths, strict=True):
        heat[cell] = strength
    own = np.array_split(heat, comm.size)[comm.rank]
    plate = np.zeros((len(own) + 2, SIZE + 2))
    above = comm.rank - 1 if comm.rank > 0 else MPI.PROC_NULL
    below = comm.rank + 1 if comm.rank + 1 < comm.size else MPI.PROC_NULL
    for _ in range(SWEEPS):
        comm.Sendrecv(plate[1], above, recvbuf=plate[-1], source=below)
        comm.Sendrecv(plate[-2], below, recvbuf=plate[0], source=above)
        inner = plate[:-2, 1:-1] + plate[2:, 1:-1] + plate[1:-1, :-2] + plate[1:-1, 2:]
        plate[1:-1, 1:-1] = (inner + own) / 4
    return plate[1:-1, 1:-1]


def cost(strengths: np.ndarray, comm: Any) -> float:
    """The mean squared error of the temperatures away from the edges."""
    rows = np.array_split(np.arange(SIZE), comm.size)[comm.rank]
    chosen = (rows >= 4) & (rows < SIZE - 4)
    errors = temperatures(strengths, comm)[chosen, 4 : SIZE - 4] - TARGET
    return comm.allreduce(float(np.sum(errors**2))) / (SIZE - 8) ** 2


def main(run_dir: Path = Path("runs/plate"), generations: int = 60) -> float:
    result = esengine.train(
        "cma-es",
        objective=cost,
        dimension=len(HEATERS),
        minimize=True,
        sigma=2.0,
        generations=generations,
        ranks_per_member=2,
        run_dir=run_dir,
    )
    print(
        f"mean squared error {result.best_value:.4f} with heaters of {result.best_point.round(2)}"
    )
    return result.best_value


if __name__ == "__main__":
    main()
