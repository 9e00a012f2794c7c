"""Steps a CPU second of EvoTorch's GymNE, which steps gymnasium's environment with a torch network,
in one process.
"""

from __future__ import annotations

import itertools
import sys

import torch
from evotorch.neuroevolution import GymNE

from benchmarks.peers.measure.figure import emit, rate
from benchmarks.peers.policies import SIZES, flat, policies

# policies evaluated by one call; they run one after another, so that the number does not change the
# rate
BATCH = 16


def evaluation(env_id: str, kind: str, count: int) -> float:
    """Steps a CPU second of evaluating given policies, one episode each."""
    torch.set_num_threads(1)
    sizes = SIZES[env_id]
    layers = [f"Linear({inputs}, {outputs})" for inputs, outputs in itertools.pairwise(sizes)]
    problem = GymNE(env_id, " >> Tanh() >> ".join(layers), num_actors=0)
    rows = torch.from_numpy(flat(policies(env_id, kind, count), outputs_first=True))
    batches = itertools.cycle([rows[start : start + BATCH] for start in range(0, count, BATCH)])

    def work() -> int:
        before = problem.interaction_count
        batch = problem.generate_batch(BATCH, empty=True)
        batch.set_values(next(batches))
        problem.evaluate(batch)
        return int(problem.interaction_count - before)

    work()
    return rate(work)


if __name__ == "__main__":
    value = evaluation(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    emit(value, ("evotorch", "torch", "numpy", "gymnasium", "mujoco"), "1 thread")
