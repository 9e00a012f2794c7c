"""Many nodes, pretended on one machine: publications travel along a tree of leaders, and the bits
stay those of one process.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import Run
from tests.support.launches import under_mpirun
from tests.support.runs import same_run
from tests.support.searches import BUDGET, METHODS, TASKS
from tests.support.words import words

COUNTING = """
import json, sys
import numpy as np
from esengine import ObjectiveProblem, World, run_search
from esengine.algorithms import CMAES, CMAESSettings
from esengine.ranks.messages import PUBLISH_TAG, TASK_TAG

def cost(x):
    return float(np.sum(x**2))

def search(pool):
    strategy = CMAES(CMAESSettings(population_size=12), np.ones(4), seed=0)
    for _ in range(5):
        candidates = strategy.ask()
        strategy.tell(candidates, pool.evaluate(candidates).fitness, pool.population())
    sent = pool.mail.num_sent if pool.mail else [0] * 8
    return {"publications": sent[PUBLISH_TAG], "nodes": len(pool.world.nodes), "mean": strategy.mean.tobytes().hex()}

found = run_search(search, ObjectiveProblem(cost, 4, minimize=True))
if World.current.is_master:
    print(json.dumps(found))
"""

FAILING = """
from esengine import World
from esengine.launch.cli import main
import esengine.pool.rank_state, sys
publish = esengine.pool.rank_state.RankState.publish
def fail(rank_state, version, *rest):
    if version == 2 and World.current.rank == 5:
        raise OSError("this node's memory is gone")
    publish(rank_state, version, *rest)
esengine.pool.rank_state.RankState.publish = fail
sys.exit(main(sys.argv[1:]))
"""


def test_a_node_for_every_rank_gives_the_bits_of_one_process(
    esengine: Run, esengine_here: Run, tmp_path: Path
) -> None:
    arguments = (*METHODS["truncation-es"], *TASKS["CartPole-v1"], *BUDGET)
    assert esengine_here(*arguments, "--ranks", "1", "--run-dir", "one").returncode == 0
    result = esengine(*arguments, "--ranks", "5", "--run-dir", "many", ESENGINE_RANKS_PER_NODE="1")
    assert result.returncode == 0, result.stdout + result.stderr
    same_run(tmp_path / "one", tmp_path / "many")


def test_the_master_publishes_to_a_few_leaders_whatever_the_number_of_nodes(tmp_path: Path) -> None:
    script = tmp_path / "counting.py"
    script.write_text(COUNTING)
    few, many = (
        json.loads(under_mpirun(6, tmp_path, script, ESENGINE_RANKS_PER_NODE=str(size)).stdout)
        for size in (3, 1)
    )
    assert (few["nodes"], many["nodes"]) == (2, 6)
    assert (few["publications"], many["publications"]) == (1 * 5, 4 * 5)
    assert few["mean"] == many["mean"]


def test_a_node_that_fails_below_in_the_tree_ends_the_run_with_its_reason(tmp_path: Path) -> None:
    script = tmp_path / "failing.py"
    script.write_text(FAILING)
    arguments = words("train cma-es --objective math:fsum --dimension 4 --generations 3")
    result = under_mpirun(
        6, tmp_path, script, *arguments, "--run-dir", "run", ESENGINE_RANKS_PER_NODE="1"
    )
    assert result.returncode != 0
    assert "worker of rank 5 on" in result.stderr
    assert "this node's memory is gone" in result.stderr
