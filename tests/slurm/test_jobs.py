"""What a user does on a cluster, from the first job to arrays, pipelines and scripts of their
own.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import sysconfig

import pytest

from tests.conftest import REPOSITORY, Run
from tests.slurm.conftest import User
from tests.support.compiled import lend_kernels
from tests.support.runs import rows, same_run
from tests.support.words import words

TINY = words(
    "train openai-es --env-id CartPole-v1 --hidden-sizes 4 --population-size 24 --generations 2"
)
TEMPLATES = ("single-node", "many-nodes", "seeds", "sweep", "binding")
HOSTILE = 'it\'s a "name"\nof two lines, ü%j #'


def completed(user: User, *jobs: str) -> None:
    for job in jobs:
        assert set(user.wait_for_end(job)) == {"COMPLETED"}, user.logs()


def test_two_nodes_give_the_bytes_of_one_machine_by_every_launcher(
    user: User, esengine: Run
) -> None:
    assert esengine(*TINY, "--ranks", "2", "--quiet", "--run-dir", "local").returncode == 0
    resources = ("--nodes", "2", "--ntasks-per-node", "4")
    refused = user.run(
        "esengine", "submit", "--partition", "nowhere", "--", *TINY, "--run-dir", "refused"
    )
    assert refused.returncode == 2
    assert "sbatch refused the job and said: " in refused.stderr
    assert "invalid partition" in refused.stderr.lower()
    assert not (user.folder / "refused").exists()
    mpirun = user.submit(*resources, "--", *TINY, "--run-dir", "mpirun")
    again = user.run("esengine", "submit", *resources, "--", *TINY, "--run-dir", "mpirun")
    assert "--run-dir must be new" in again.stderr
    srun = user.submit(*resources, "--launcher", "srun", "--", *TINY, "--run-dir", "srun")
    counted = (
        *words("--objective worlds:cores_of_rank --dimension 2 --minimize --member-timeout 60"),
        *TINY[-4:],
    )
    alone = ("--nodes", "2", "--ntasks-per-node", "2", "--bind-to", "core")
    bound = user.submit(*alone, "--", "train", "openai-es", *counted, "--run-dir", "bound")
    copies = user.folder / "copies.sh"
    copies.write_text(
        f"#!/bin/bash\nexec srun --mpi=none esengine {' '.join(TINY)} --run-dir copies\n"
    )
    wrong = user.output(
        "sbatch", "--parsable", "--ntasks=2", "--output=copies.log", "copies.sh"
    ).strip()
    completed(user, mpirun, srun, bound)
    assert (
        json.loads((user.folder / "bound" / "best.json").read_text())["value"] == 1001
    )  # one thread, on one core
    for name, ranks in (("mpirun", 9), ("srun", 8)):
        same_run(user.folder / "local", user.folder / name)
        assert (
            json.loads((user.folder / name / "config.json").read_text())["starts"][0]["workers"]
            == ranks - 1
        )
    assert user.wait_for_end(wrong) == ["FAILED"]
    assert (
        "2 ranks were launched but each sees an MPI world of 1"
        in (user.folder / "copies.log").read_text()
    )
    status = user.output("esengine", "status", "mpirun")
    assert re.search(rf"^{mpirun} +done +.* 1 +2 of 2 +000002 .*mpirun$", status, re.MULTILINE), (
        status
    )
    assert "finished: 2 generations" in status


def test_teams_of_ranks_in_a_job_on_two_nodes_give_the_bytes_of_one_machine(
    user: User, esengine: Run
) -> None:
    team = words(
        "train cma-es --objective simulations:shared --dimension 3 --minimize --population-size 6 "
        "--generations 3 --ranks-per-member 2 --run-dir"
    )
    local = esengine(*team, "local", *words("--workers 1 --quiet"))
    assert local.returncode == 0, local.stderr
    resources = words("--nodes 2 --ntasks-per-node 2 --cpus-per-task 2")
    completed(user, user.submit(*resources, "--", *team, "job"))
    same_run(user.folder / "local", user.folder / "job")


def test_an_array_with_hostile_names_gives_each_task_its_seed_and_status_shows_all(
    user: User,
) -> None:
    folder = user.folder / HOSTILE
    folder.mkdir()
    there = User(user.cluster, folder)
    task = (
        *words("train openai-es --env-id worlds:TestForgetful-v0 --env-arg"),
        f"fault={HOSTILE}",
        *TINY[-4:],
    )
    runs = folder / f"seeds {HOSTILE}"
    job = there.submit(
        "--array",
        "0-5%3",
        "--job-name",
        HOSTILE,
        "--",
        *task,
        "--seed",
        "10",
        "--run-dir",
        runs.name,
    )
    waiting = there.submit(
        "--array", "0-3", "--sbatch", "hold", "--", *task, "--run-dir", "waiting"
    )
    assert f"{waiting}_[0-3]" in there.output("esengine", "status")
    there.output("esengine", "cancel", f"{waiting}_2")
    there.output("esengine", "cancel", "waiting")
    assert set(there.wait_for_end(waiting)) == {"CANCELLED"}
    assert "which does neither" in there.run("esengine", "cancel", waiting).stderr
    completed(there, job)
    assert HOSTILE.splitlines()[0] in there.output("scontrol", "show", "job", job)
    configs = [
        json.loads((runs / f"seed-{seed}" / "config.json").read_text())["config"]["train"]
        for seed in range(10, 16)
    ]
    assert [config["seed"] for config in configs] == list(range(10, 16))
    assert {config["env_arg"][0] for config in configs} == {f"fault={HOSTILE}"}
    assert len({json.dumps(rows(runs / f"seed-{seed}")) for seed in range(10, 16)}) == 6
    status = there.output("esengine", "status", runs.name)
    assert sorted(re.findall(rf"^({job}_\d) +done ", status, re.MULTILINE)) == [
        f"{job}_{task}" for task in range(6)
    ]
    assert there.output("esengine", "status", job).count("2 of 2") == 6
    assert "finished: 2 generations" in there.output("esengine", "status", f"{job}_3")
    there.output("esengine", "plot", runs.name, "--out", "curves.png")
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_status_asks_the_accounting_about_what_the_queue_has_forgotten(user: User) -> None:
    job = user.submit("--", *TINY, "--run-dir", "some run")
    array = user.submit(
        "--array", "0-1", "--job-name", "two\nlines", "--", *TINY, "--run-dir", "seeds"
    )
    completed(user, job, array)
    assert user.cluster.states(job)
    user.cluster.forget_jobs(job, array)
    shown = user.output("esengine", "status", "some run")
    unknown = user.run("esengine", "status", "999999")
    assert unknown.returncode == 2
    if user.cluster.accounted:
        assert re.search(
            rf"^{job} +done +\S+n\d +\S+ +1 +2 of 2 +000002 .*some run$", shown, re.MULTILINE
        ), shown
        assert "finished: 2 generations" in shown
        assert sorted(
            re.findall(
                rf"^{array}_(\d) +done ", user.output("esengine", "status", array), re.MULTILINE
            )
        ) == ["0", "1"]
        assert "neither does the accounting" in unknown.stderr
        user.use_no_accounting()
        shown = user.output("esengine", "status", "some run")
        unknown = user.run("esengine", "status", "999999")
    assert (
        f"the state of job {job} is from the run's records: the queue does not know it, and this cluster "
        f"keeps no accounting" in shown
    )
    assert re.search(r" done +.*2 of 2 +000002 .*some run$", shown, re.MULTILINE), shown
    assert "this cluster keeps no accounting; name its run directory" in unknown.stderr


def test_every_template_can_be_submitted(user: User) -> None:
    shutil.copytree(REPOSITORY / "slurm", user.folder / "slurm")
    edits = {  # as a user would, for two cores and a few seconds
        r"--generations \d+": "--generations 2",
        r"--population-size 1000": "--population-size 100",
        r"--array=0-5\S*": "--array=0,5",
        r"nodes=2-16": "nodes=2",
        r"(mincpus|tasks-per-node|cpus-per-task)(=| )\d": r"\1\g<2>1",
    }
    for path in (user.folder / "slurm").iterdir():
        text = path.read_text()
        for pattern, plain in edits.items():
            text = re.sub(pattern, plain, text)
        path.write_text(text)
    jobs = [
        user.output("sbatch", "--parsable", f"slurm/{name}.sbatch").strip() for name in TEMPLATES
    ]
    jobs += re.findall(r"\d+", user.output("bash", "slurm/pipeline.sh", "--partition", "main"))
    assert len(jobs) == len(TEMPLATES) + 3
    completed(user, *jobs)
    assert len(list((user.folder / "runs").glob("**/done.json"))) == 1 + 1 + 2 + 2 + 1 + 2
    assert (
        json.loads((user.folder / "runs/pipeline/evolve/evaluation.json").read_text())["episodes"]
        == 100
    )


def test_the_manuals_commands_lead_to_a_job(user: User) -> None:
    follow_the_manual(user, compiled=True)


@pytest.mark.disturbance
def test_the_manuals_commands_lead_to_a_job_that_compiles_everything(user: User) -> None:
    follow_the_manual(user, compiled=False)


def follow_the_manual(user: User, compiled: bool) -> None:
    """Carry out the manual's five commands in a fresh environment, whose kernels are compiled
    already or not.
    """
    text = (REPOSITORY / "docs" / "clusters.md").read_text()
    block = re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[0]
    commands = block.replace("\\\n", "").splitlines()
    assert len(commands) == 5
    # The cluster has no network: what pip would fetch, and the site's MPI, are lent by this
    # environment.
    commands[1] = commands[1].replace(
        "pip install", "pip install --no-deps --no-build-isolation --disable-pip-version-check"
    )
    ignored = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__")
    source = shutil.copytree(REPOSITORY, user.folder / "source", symlinks=True, ignore=ignored)
    lent = {
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "MPI4PY_LIBMPI": f"{sys.prefix}/lib/libmpi.so.40",
        "ESENGINE_SOURCE": str(source),
    }
    for part in (commands[:2], commands[2:]):
        result = user.cluster.run(
            "bash", "-c", "\n".join(["set -e", *part]), folder=user.folder, **lent
        )
        assert result.returncode == 0, result.stdout + result.stderr
        if compiled:
            lend_kernels(
                next((user.folder / "esengine" / "lib").glob("python*/site-packages")) / "esengine"
            )
    job = re.search(r"submitted job (\d+)", result.stdout)
    assert job is not None
    completed(user, job[1])
    assert (user.folder / "runs" / "first" / "done.json").exists()
