"""The batch script: pinned text, and words that reach the program as they were given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from esengine.errors import UserError
from esengine.launch.mpirun.local_ranks import default_workers
from esengine.launch.runs.outcomes import how_to_resume
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.slurm.client import parse_duration
from esengine.launch.slurm.script import JobScript, command_line_options, script_text
from esengine.launch.slurm.settings import SubmitSettings
from esengine.launch.slurm.submission import job_script
from esengine.ranks.launch_variables import is_launched
from esengine.ranks.mpi_library import name_of
from tests.conftest import REPOSITORY, Run
from tests.support.words import words

HOSTILE = [
    "a b",
    "it's",
    'say "no"',
    "line\nbreak",
    "$HOME `id` \\ #",
    "*",
    "ünïcode ☃",
    "",
    "--x=y z",
    "%j",
]
TRAIN = ("train", "openai-es", "--env-id", "CartPole-v1")


def script(
    arguments: tuple[str, ...], options: tuple[tuple[str, str | None], ...] = ()
) -> JobScript:
    return JobScript(options, (), (), ("python", "-m", "esengine"), arguments, None, None, 60, 5)


def test_the_script_is_the_golden_file() -> None:
    job = JobScript(
        options=(
            ("job-name", 'it\'s a "walk" #1'),
            ("nodes", "2-4"),
            ("mincpus", "64"),
            ("time", "04:00:00"),
            ("array", "0-5%3"),
            ("comment", "two\nlines"),
            ("output", "/home/me/my runs/100%%/slurm/%A_%a.log"),
            ("open-mode", "append"),
            ("signal", "B:USR1@120"),
            ("requeue", None),
        ),
        setup=("module load openmpi", "source '/home/me/my venv/bin/activate'"),
        variables=(("ESENGINE_MPIRUN", "srun"), ("ESENGINE_BIND_TO", "core")),
        program=("/home/me/my venv/bin/python", "-P", "-m", "esengine"),
        arguments=(
            *words("train openai-es --env-id CartPole-v1 --env-arg"),
            "title=it's\ntwo lines",
            "--seed",
            "10",
        ),
        directory="/home/me/my runs/100%",
        first_seed=10,
        stop_before_s=120,
        max_requeues=50,
        ntasks_per_node=64,
    )
    assert script_text(job) == (REPOSITORY / "tests" / "golden" / "job.sbatch").read_text()
    assert command_line_options(job) == ["--comment=two\nlines"]


def test_words_reach_the_program_as_they_were_given(tmp_path: Path) -> None:
    echo = tmp_path / "echo with space.py"
    echo.write_text("import json, sys; print(json.dumps(sys.argv[1:]))")
    job = JobScript((), (), (), (sys.executable, str(echo)), tuple(HOSTILE), None, None, 60, 5)
    result = subprocess.run(
        ["bash"], input=os.fsencode(script_text(job)), capture_output=True, check=True
    )
    assert json.loads(result.stdout) == HOSTILE


def test_a_header_never_holds_a_line_break() -> None:
    text = script_text(
        script(("doctor",), (("job-name", "a\n#SBATCH --uid=root"), ("comment", "b")))
    )
    assert [line for line in text.splitlines() if line.startswith("#SBATCH")] == [
        "#SBATCH --comment=b"
    ]


def test_a_tasks_seed_and_folder_follow_from_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = SubmitSettings(array="0-5%3")
    text = script_text(job_script(settings, [*TRAIN, "--seed", "7", "--run-dir", "some runs"]))
    assert "seed=$((7 + SLURM_ARRAY_TASK_ID))\n" in text
    assert text.endswith(f'--seed "$seed" --run-dir \'{tmp_path}/some runs\'/seed-"$seed"\n')
    assert text.count("--run-dir") == text.count("--seed") == 1


def test_a_range_of_nodes_never_fixes_the_number_of_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = script_text(
        job_script(SubmitSettings(nodes="1-4", ntasks_per_node=8, cpus_per_task=2), list(TRAIN))
    )
    assert "#SBATCH --mincpus=16\n" in text
    assert "ntasks" not in text
    assert 'export SLURM_TASKS_PER_NODE="8(x$SLURM_JOB_NUM_NODES)"\n' in text


def test_dry_run_prints_the_script_and_makes_nothing(esengine_here: Run, tmp_path: Path) -> None:
    flags = (
        *words("--nodes 4 --sbatch exclusive --sbatch licenses=a:1 --setup"),
        "module load mpi",
        "--dry-run",
    )
    result = esengine_here("submit", *flags, "--", *TRAIN, "--run-dir", "run")
    assert result.returncode == 0, result.stderr
    for line in (
        "--nodes=4",
        "--exclusive",
        "--licenses=a:1",
        f"--output={tmp_path}/run/slurm/%j.log",
        "--requeue",
    ):
        assert f"#SBATCH {line}\n" in result.stdout
    assert "\nmodule load mpi\n" in result.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--exclusive", "--", *TRAIN), "submit's flags must be among --nodes"),
        (("--exclusive", "--", *TRAIN), "use --sbatch exclusive"),
        (("--sbatch", "exlusive", "--", *TRAIN), "got 'exlusive'; they are acctg-freq"),
        (("--sbatch", "nodes=3", "--", *TRAIN), "got nodes; use --nodes"),
        (
            ("--sbatch", "signal=USR1@10", "--", *TRAIN),
            "leave signal to the job, which sets it itself; use --stop-before",
        ),
        (("--array", "a-b", "--", *TRAIN), "--array must be task numbers"),
        (("--nodes", "2"), "needs a command after --"),
        (("--", "trian"), "the command after -- must be one of train, resume"),
        (("--", "train", "openai-se"), "the method must be one of"),
        (("--", "train", "openai-es"), "needs either --env-id or --objective"),
        (("--", "resume", "nowhere"), "must hold config.json"),
        (("--array", "0-3", "--", "evaluate", "run"), "--array must go with train"),
        (("--array", "0-3", "--", *TRAIN, "--seeds", "0-4"), "got --seeds; use one of both"),
        (("--", *TRAIN, "--seeds", "0-4", "--member-timeout", "9"), "must be used with one run at"),
        (("--stop-before", "0", "--", *TRAIN), "--stop-before must be at least 1"),
    ],
)
def test_bad_flags_say_what_is_known(
    capfd: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from esengine.launch.slurm.submission import submit_command
    from esengine.ranks import StopRequest

    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        submit_command(["--dry-run", *arguments], StopRequest())
    assert said in str(error.value)


def test_a_job_cannot_run_outside_of_slurm(esengine: Run) -> None:
    result = esengine("job", "--", *TRAIN)
    assert result.returncode == 2
    assert "found no SLURM_JOB_ID; use esengine submit" in result.stderr


def test_durations_are_read_as_slurm_writes_them() -> None:
    assert [parse_duration(text) for text in ("59", "1:00", "2:00:01", "1-02:00:00")] == [
        59,
        60,
        7201,
        93600,
    ]
    assert parse_duration("UNLIMITED") is None


@pytest.mark.parametrize(
    "line", ["source usual_bashrc", "exit 3", "false", "(exit 4) | cat; exit 4"]
)
def test_a_line_of_setup_that_ends_the_job_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "usual_bashrc").write_text("[[ $- == *i* ]] || return\nexport X=1\n")
    setup = ("export Y='1'", line, "true")
    job = JobScript((), setup, (), ("echo", "started"), (), None, None, 60, 5)
    ended = subprocess.run(
        ["bash"], input=script_text(job), capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert ended.returncode != 0
    assert ended.stdout == ""
    status = ended.returncode
    assert ended.stderr == (
        f"esengine: --setup must end with status 0, got {status} from: {line}; add || true\n"
    )


def test_a_run_that_cannot_be_resumed_is_not_submitted(esengine_here: Run, tmp_path: Path) -> None:
    train = "train cma-es --objective worlds:sphere --dimension 3 --minimize --generations 2"
    assert esengine_here(*words(train), *words("--ranks 1 --run-dir run --quiet")).returncode == 0
    submit = words("submit --dry-run -- resume run --generations 4")
    refused = esengine_here(*submit)
    assert refused.returncode == 2
    assert "names the module 'worlds:sphere', whose code would run; add --trust-modules" in (
        refused.stderr
    )
    assert esengine_here(*submit, "--trust-modules").returncode == 0
    assert esengine_here(*submit, "--trust-modules", "--max-time", "-1").returncode == 2

    told = how_to_resume(RunDirectory(Path("run")))
    assert told == "esengine resume run --trust-modules"
    again = esengine_here(*words(told)[1:], *words("--generations 4 --ranks 1"))
    assert again.returncode == 0


def test_a_job_whose_ranks_cannot_start_ends_with_the_reason(esengine: Run, tmp_path: Path) -> None:
    (tmp_path / "mpirun").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "mpirun").chmod(0o755)
    ended = esengine(
        *words("job -- train openai-es --env-id CartPole-v1 --generations 2 --run-dir run"),
        SLURM_JOB_ID="1",
        SLURM_JOB_NUM_NODES="1",
        SLURM_TASKS_PER_NODE="2",
        ESENGINE_MPIRUN=str(tmp_path / "mpirun"),
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("esengine: the ranks ended before they had")


@pytest.mark.parametrize(
    ("variables", "launched", "ranks"),
    [
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "1", "SLURM_CPUS_ON_NODE": "1"}, False, 1),
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_TASKS_PER_NODE": "4(x2)"}, False, 8),
        ({"SLURM_STEP_NUM_TASKS": "1", "OMPI_COMM_WORLD_SIZE": "1"}, True, None),
        ({"SLURM_STEP_NUM_TASKS": "1", "PMI_SIZE": "4"}, True, None),
        ({"SLURM_STEP_NUM_TASKS": "2"}, True, None),
    ],
)
def test_a_shell_of_slurm_is_no_launch(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], launched: bool, ranks: int | None
) -> None:
    for name, value in {"SLURM_JOB_ID": "1", **variables}.items():
        monkeypatch.setenv(name, value)
    assert is_launched() == launched
    assert ranks is None or default_workers() == ranks


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("Open MPI v5.0.11, package: Open MPI, ident: 5.0.11", "Open MPI v5.0.11"),
        ("MPICH Version:      4.0.2\nMPICH configure: --x,--y\n", "MPICH 4.0.2"),
        ("Intel(R) MPI Library 2021.18 for Linux* OS\n\0", "Intel(R) MPI Library 2021.18 for Linux* OS"),
    ],
)  # fmt: skip
def test_a_library_is_named_in_few_words(told: str, name: str) -> None:
    assert name_of(told) == name
