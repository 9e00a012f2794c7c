"""The launch's world ends at its ranks: children of a member are not part of it, and all ranks are
needed.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from esengine.launch.mpirun.local_ranks import find_mpirun
from tests.conftest import Run
from tests.support.launches import mpirun, variables
from tests.support.words import words

SIMULATOR = f"""
import json, os, subprocess, sys

SUM = "from mpi4py import MPI; print(MPI.COMM_WORLD.allreduce(1))"

def cost(x):
    alone = [sys.executable, "-c", SUM]
    several = [{find_mpirun()!r}, "--oversubscribe", "-n", "2", *alone]
    sizes = [int(subprocess.check_output(words).split()[0]) for words in (alone, several)]
    left = [name for name in os.environ if name.startswith(("PMIX_", "PRTE_", "OMPI_COMM_"))]
    return 1000 * len(left) + 10 * sizes[0] + sizes[1]
"""

ALONE = """
import esengine
from mpi4py import MPI

if MPI.COMM_WORLD.rank == 0:
    esengine.minimize(lambda x: float(x @ x), dimension=2)
"""


def test_a_child_of_a_member_is_a_world_of_its_own(esengine: Run, tmp_path: Path) -> None:
    (tmp_path / "simulator.py").write_text(SIMULATOR)
    search = words("train cma-es --objective simulator:cost --dimension 2 --minimize")
    budget = words("--population-size 4 --generations 1 --ranks 2 --run-dir run")
    # Open MPI leaves the segment of a process that was started alone, as the first trial's child is.
    segments = {"OMPI_MCA_btl_sm_backing_directory": str(tmp_path)}
    result = esengine(*search, *budget, **segments)
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "run" / "best.json").read_text())["value"] == 12


def test_a_call_that_only_one_rank_makes_names_the_others(tmp_path: Path) -> None:
    script = tmp_path / "alone.py"
    script.write_text(ALONE)
    with subprocess.Popen(
        [*mpirun(3), str(script)], env=variables(), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        process.terminate()
    assert "ranks 1 and 2 of this launch did not make a call that others wait in" in line
