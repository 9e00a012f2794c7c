"""One noise table a node, whatever the number of ranks on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.launches import under_mpirun

PROGRAM = """
import re
from pathlib import Path
from esengine.launch.training.problem_from_settings import build_problem
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.train_settings import TrainSettings
from esengine.launch.settings.methods import settings_of
from esengine.pool.startup import open_rank_state
from esengine.ranks.world import World

world = World()
problem = build_problem(RunConfig("cma-es", TrainSettings(env_id="CartPole-v1"), settings_of("cma-es")()))
with open_rank_state(world, problem, 0, 22) as rank_state:
    rank_state.noise.table.sum()  # every rank touches every page
    world.comm.Barrier()
    address, end = rank_state.noise.table.ctypes.data, rank_state.noise.table.ctypes.data + rank_state.noise.table.nbytes
    share = 0
    for part in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text(), flags=re.M)[1:]:
        low, high = (int(text, 16) for text in part.split()[0].split("-"))
        if low <= address and end <= high:
            share = int(re.search(r"^Pss: +(\\d+) kB", part, re.M).group(1))
    shares = world.comm.gather(share)
    if world.is_master:
        print("shares", *shares)
    world.comm.Barrier()
"""


@pytest.mark.parametrize("ranks", [2, 4])
def test_the_ranks_of_a_node_share_one_table(tmp_path: Path, ranks: int) -> None:
    result = under_mpirun(ranks, tmp_path, "-c", PROGRAM)
    assert result.returncode == 0, result.stderr
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("shares")]
    shares = [int(share) for share in line.split()[1:]]
    table_kb = 4 * (1 << 22) // 1024
    assert len(shares) == ranks
    assert table_kb <= sum(shares) <= 1.01 * table_kb  # the proportional shares of one copy
    assert max(shares) < 1.1 * table_kb / ranks
