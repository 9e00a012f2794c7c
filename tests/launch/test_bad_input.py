"""Bad input gets one clear line, exit status 2 and no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from esengine.errors import listed
from esengine.launch.command_table import COMMANDS
from esengine.launch.settings.methods import METHODS
from tests.conftest import Run
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
        "must flatten to a fixed length, got Sequence as steps; leave it out by --env-wrapper "
        '\'FilterObservation={"filter_keys": ["place"]}\'',
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
        "needs either --env-id or --objective or --command, got none",
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
    "vectorized with a wrapper": (
        (
            *TRUNCATION,
            *words("CartPole-v1 --env-backend vectorized --env-wrapper FlattenObservation"),
        ),
        "--env-wrapper must be used with --env-backend auto or gymnasium, got vectorized",
    ),
    "arguments of an environment for an objective": (
        (*CMA, *words("worlds:sphere --dimension 3 --env-arg a=1")),
        "--env-arg belongs to --env-id, got --objective; drop it",
    ),
    "vectorized with equal starts": (
        (*TRUNCATION, *words("CartPole-v1 --env-backend vectorized --episode-seeds generation")),
        "--episode-seeds must be pair or member with --env-backend vectorized and truncation-es, "
        "got generation",
    ),
    "behaviors that nothing compares": (
        words("train openai-es --ranks 1 --env-id CartPole-v1 --behavior-indices 0"),
        "belong to --novelty, map-elites, cma-me and cma-mae, got none; use --novelty nsr",
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
        "--top-directions must be at most the 4 pairs of --population-size 8, got 5; leave it out "
        "to keep all",
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
    assert loud.stderr.startswith(
        f"esengine: checkpoint {tmp_path}/run/checkpoints/000002 is damaged"
    )
    assert loud.stderr.count("\n") == 1
    assert "finished: 3 generations" in loud.stdout


def test_a_search_that_runs_away_says_so(esengine_here: Run, tmp_path: Path) -> None:
    arguments = ("--objective", "worlds:linear", "--dimension", "1", "--minimize", "--ranks", "1")
    for method in (("sep-cma-es",), ("truncation-es", "--recombination", "weighted")):
        result = esengine_here("train", *method, *arguments, "--run-dir", method[0])
        assert result.returncode == 0, result.stderr
        assert "runs away" in result.stdout
