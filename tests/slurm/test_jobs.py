"""What a user does on a cluster, from the first job to arrays, pipelines and scripts of their own."""

from __future__ import annotations

import json
import re
import shutil
import sys
import sysconfig

from tests.conftest import REPOSITORY, Run
from tests.mpi.test_ranks import rows, same_run
from tests.slurm.conftest import User

TINY = ("train", "openai-es", "--env-id", "CartPole-v1", "--hidden-sizes", "4", "--population-size", "24", "--generations", "2")
TEMPLATES = ("single-node", "many-nodes", "seeds", "sweep", "binding")
HOSTILE = 'it\'s a "name"\nof two lines, ü%j #'


def completed(user: User, *jobs: str) -> None:
    for job in jobs:
        assert set(user.wait_for_end(job)) == {"COMPLETED"}, user.logs()


def test_two_nodes_give_the_bytes_of_one_machine_by_every_launcher(user: User, esengine: Run) -> None:
    assert esengine(*TINY, "--ranks", "2", "--quiet", "--run-dir", "local").returncode == 0
    resources = ("--nodes", "2", "--ntasks-per-node", "4")
    refused = user.run("esengine", "submit", "--partition", "nowhere", "--", *TINY, "--run-dir", "refused")
    assert refused.returncode == 2
    assert "sbatch refused the job and said: " in refused.stderr
    assert "invalid partition" in refused.stderr.lower()
    assert not (user.folder / "refused").exists()
    mpirun = user.submit(*resources, "--", *TINY, "--run-dir", "mpirun")
    again = user.run("esengine", "submit", *resources, "--", *TINY, "--run-dir", "mpirun")
    assert "--run-dir must be new" in again.stderr
    srun = user.submit(*resources, "--launcher", "srun", "--", *TINY, "--run-dir", "srun")
    copies = user.folder / "copies.sh"
    copies.write_text(f"#!/bin/bash\nexec srun --mpi=none esengine {' '.join(TINY)} --run-dir copies\n")
    wrong = user.output("sbatch", "--parsable", "--ntasks=2", "--output=copies.log", "copies.sh").strip()
    completed(user, mpirun, srun)
    for name, ranks in (("mpirun", 9), ("srun", 8)):
        same_run(user.folder / "local", user.folder / name)
        assert json.loads((user.folder / name / "config.json").read_text())["starts"][0]["ranks"] == ranks
    assert user.wait_for_end(wrong) == ["FAILED"]
    assert "2 ranks were launched but each sees an MPI world of 1" in (user.folder / "copies.log").read_text()
    status = user.output("esengine", "status", "mpirun")
    assert re.search(rf"^{mpirun} +done +.* 1 +2 of 2 +000002 .*mpirun$", status, re.MULTILINE), status
    assert "finished: 2 generations" in status


def test_hostile_names_reach_the_run(user: User) -> None:
    folder = user.folder / HOSTILE
    folder.mkdir()
    there = User(user.cluster, folder)
    job = there.submit("--job-name", HOSTILE, "--", *TINY, "--run-dir", f"run {HOSTILE}")
    completed(there, job)
    assert json.loads((folder / f"run {HOSTILE}" / "done.json").read_text())["generations"] == 2
    assert "finished: 2 generations" in (folder / f"run {HOSTILE}" / "slurm" / f"{job}.log").read_text()
    assert HOSTILE.splitlines()[0] in user.cluster.run("scontrol", "show", "job", job).stdout


def test_an_array_gives_each_task_its_seed_and_status_shows_all(user: User) -> None:
    job = user.submit("--array", "0-5%3", "--", *TINY, "--seed", "10", "--run-dir", "seeds")
    completed(user, job)
    runs = [user.folder / "seeds" / f"seed-{seed}" for seed in range(10, 16)]
    assert [json.loads((run / "config.json").read_text())["config"]["train"]["seed"] for run in runs] == list(range(10, 16))
    assert len({json.dumps(rows(run)) for run in runs}) == 6
    status = user.output("esengine", "status", "seeds")
    assert sorted(re.findall(r"^(\S+) +done .*/seed-(\d+)$", status, re.MULTILINE)) == [
        (f"{job}_{task}", str(10 + task)) for task in range(6)
    ]
    assert user.output("esengine", "status", job).count("done") == 6
    waiting = user.submit("--array", "0-3", "--sbatch", "hold", "--", *TINY, "--run-dir", "waiting")
    assert f"{waiting}_[0-3]" in user.output("esengine", "status")
    user.output("esengine", "cancel", f"{waiting}_2")
    user.output("esengine", "cancel", "waiting")
    assert set(user.wait_for_end(waiting)) == {"CANCELLED"}
    assert "which does neither" in user.run("esengine", "cancel", waiting).stderr


def test_every_template_can_be_submitted(user: User) -> None:
    shutil.copytree(REPOSITORY / "slurm", user.folder / "slurm")
    for path in (user.folder / "slurm").iterdir():  # as a user would edit them, for two cores and a few seconds
        text = re.sub(r"--generations \d+", "--generations 2", path.read_text())
        text = text.replace("cpus-per-task=2", "cpus-per-task=1").replace("tasks-per-node=4", "tasks-per-node=2")
        path.write_text(text.replace("--population-size 1000", "--population-size 100"))
    jobs = [user.output("sbatch", "--parsable", f"slurm/{name}.sbatch").strip() for name in TEMPLATES]
    jobs += re.findall(r"\d+", user.output("bash", "slurm/pipeline.sh", "--partition", "main"))
    assert len(jobs) == len(TEMPLATES) + 3
    completed(user, *jobs)
    assert len(list((user.folder / "runs").glob("**/done.json"))) == 1 + 1 + 6 + 6 + 1 + 2
    assert json.loads((user.folder / "runs/pipeline/evolve/evaluation.json").read_text())["episodes"] == 100
    assert "done" in user.output("esengine", "status", "runs/single-node")


def test_the_manuals_commands_lead_to_a_job(user: User) -> None:
    text = (REPOSITORY / "docs" / "clusters.md").read_text()
    commands = re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[0].splitlines()
    assert len(commands) == 5
    # The fixture has no network: what pip would fetch, and the site's MPI, are lent by this environment.
    commands[1] = commands[1].replace("pip install", "pip install --no-deps --no-build-isolation --disable-pip-version-check")
    ignored = shutil.ignore_patterns(".*", "runs", "build", "*.egg-info", "__pycache__")
    source = shutil.copytree(REPOSITORY, user.folder / "source", symlinks=True, ignore=ignored)
    lent = {
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "MPI4PY_LIBMPI": f"{sys.prefix}/lib/libmpi.so.40",
        "ESENGINE_SOURCE": str(source),
    }
    result = user.cluster.run("bash", "-c", "\n".join(["set -e", *commands]), folder=user.folder, **lent)
    assert result.returncode == 0, result.stdout + result.stderr
    job = re.search(r"submitted job (\d+)", result.stdout)
    assert job is not None
    completed(user, job[1])
    assert (user.folder / "runs" / "first" / "done.json").exists()
