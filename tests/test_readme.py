"""What README and the manual say is run, in order, each page in one folder."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from esengine.launch.mpirun.local_ranks import environment_of_ranks
from esengine.launch.settings.methods import METHODS
from tests.conftest import REPOSITORY, Run
from tests.support.launches import variables

README = REPOSITORY / "README.md"
PAGES = [
    README,
    *sorted(set((REPOSITORY / "docs").glob("*.md")) - {REPOSITORY / "docs" / "clusters.md"}),
]  # see tests/slurm
NOT_RUN = (
    "make ",
    "pip install ",
    "uv tool ",
    "sudo ",
    "cd ",
    "source ",
)  # the test suite itself runs in what they build
RUN = [page for page in PAGES if re.search("^```(bash|python)$", page.read_text(), re.MULTILINE)]
EXAMPLES = ("python examples/", "python -m examples.")  # which test_examples runs
SHORTENED = {
    "--target-return 325": "--generations 1 --population-size 8",
    "--target-return 475": "--generations 2",
    "--population-size 200 --sigma 0.2 --reevaluate 20 --generations 12": "--population-size 40 "
    "--sigma 0.2 --generations 1",
    "--generations 20 --run-dir": "--generations 2 --run-dir",
    "--generations 30": "--generations 3",
    "esengine submit": "esengine submit --dry-run",
    "--minimize --run-dir": "--minimize --generations 20 --run-dir",
    "train behavior-cloning": "train behavior-cloning --gradient-steps 1 --generations 5",
    "train dagger": "train dagger --gradient-steps 1",
    "train dart": "train dart --gradient-steps 1",
    "--episodes 10 --out": "--episodes 2 --out",
    "--max-env-steps 400000": "--max-env-steps 20000",
    "--max-env-steps 100000": "--max-env-steps 20000",
    "population_size=64": "population_size=8",
    "--population-size 64": "--population-size 8",
    "--population-size 128 --episodes-per-member 4 --generations 400": "--episodes-per-member 1",
    "--goals curriculum": "--goals curriculum --population-size 8 --generations 1",
    "maze=u --episodes 5": "maze=u --episodes 1 --max-episode-steps 20 --planner-arg depth=2 "
    "width=4",
    "mppi --env-id Pendulum-v1 --episodes 50": "mppi --env-id Pendulum-v1 --episodes 3 "
    "--max-episode-steps 30",
    "train plato": "train plato --gradient-steps 1",
    "train guided-policy-search": "train guided-policy-search --gradient-steps 1",
    "1 --planner": "1 --generations 1 --max-episode-steps 20 --planner",
    "train pets": "train pets --generations 2 --model-steps 5 --gradient-steps 1 "
    "--max-episode-steps 20",
    "--generations 10 --run-dir": "--generations 2 --run-dir",
    "--generations 5 --run-dir": "--generations 1 --run-dir",
    "--dynamics fitted": "--max-episode-steps 8 --dynamics fitted",
    "--dynamics learned": "--max-episode-steps 5 --dynamics learned",
    "--novelty nsr": "--novelty nsr --population-size 8 --generations 1",
    "--generations 10 --episodes-per-round 1": "--generations 1 --episodes-per-round 1 "
    "--max-episode-steps 20",
    "--trajectories 4": "--trajectories 2",
    "--max-env-steps 1000000": "--max-env-steps 10000",
    "--max-env-steps 8000000": "--population-size 8 --generations 1",
    "--generations 300": "--generations 1",
    "--population-size 10000": "--population-size 8",
    "--target-return -200": "--population-size 8 --generations 1",
    "--measure-ranges -10 10 -10 10": "--measure-ranges -10 10 -10 10 --max-episode-steps 100",
    "--cell best --out walk.gif": "--cell best --seconds 0.2 --out walk.gif",
    "elites=6 skill_steps=20 width=16 depth=12": "elites=2 skill_steps=2 width=2 depth=1 "
    "--max-episode-steps 4",
    "elites=8 skill_steps=12": "elites=8 skill_steps=12 --max-episode-steps 40",
}  # of what other tests run whole
WITH_RANKS = ("train", "evaluate", "collect", "resume", "failures")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def name_of(block: str, default: str) -> str:
    """The name that a page asks to save a block under, which is the block's first line."""
    named = re.match(r"# (\w+\.py)\n", block)
    return named[1] if named else default


def commands(page: Path) -> list[str]:
    lines = "".join(blocks(page, "bash")).replace("\\\n", "").splitlines()
    return [line for line in lines if line and not line.startswith((*NOT_RUN, *EXAMPLES))]


def in_folder(command: str | list[str], folder: Path) -> None:
    environment = variables() if command[:6] == "mpirun" else environment_of_ranks()
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    result = subprocess.run(
        command, shell=isinstance(command, str), cwd=folder, env=environment, capture_output=True, text=True, timeout=200,
        check=False,
    )  # fmt: skip
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    assert "\x1b" not in result.stdout  # nobody's terminal, though mpirun gives its ranks one


def in_this_process(command: str, start: Run) -> None:
    """As `in_folder` on one rank, and without the seconds that a process takes to start."""
    _, name, *rest = shlex.split(command)
    workers = ["--workers", "1"] if name in WITH_RANKS and "--workers" not in rest else []
    result = start(name, *rest, *workers)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_every_command_and_block_works_in_the_order_of_the_page(
    page: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    esengine_here: Run,
) -> None:
    """README's commands are run as a user types them, each the first time; on all cores where they
    say no number of ranks.
    """
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("states")))
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    for number, block in enumerate(blocks(page, "python")):
        (tmp_path / name_of(block, f"block{number}.py")).write_text(block)
    shown = set()
    for command in commands(page):
        for long, short in SHORTENED.items():
            command = command.replace(long, short)
        program, name, *_ = command.split()
        if program == "esengine" and (page != README or name in shown):
            in_this_process(command, esengine_here)
        else:
            in_folder(command, tmp_path)
            shown.add(name)
    for number, block in enumerate(blocks(page, "python")):
        in_folder([sys.executable, name_of(block, f"block{number}.py")], tmp_path)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_run_ends_with_what_to_do_next() -> None:
    command = ["make", "--dry-run", "--always-make", "--directory", str(REPOSITORY), "run"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert any("installing some 2 GB" in line for line in lines)
    (run,) = (line.split("--run-dir ")[1] for line in lines if " train " in line)
    assert f".venv/bin/esengine render {run} --out swimmer.gif" in "\n".join(lines[-3:])
    assert "source .venv/bin/activate" in "\n".join(lines[-3:])


def test_the_pages_hold_what_is_to_be_run() -> None:
    assert len(commands(README)) >= 13
    assert len(blocks(README, "python")) >= 1


def test_examples_that_pages_name_exist() -> None:
    for page in PAGES:
        for module in re.findall(r"\bexamples\.(\w+)", page.read_text()):
            assert (REPOSITORY / "examples" / f"{module}.py").is_file(), f"{page}: {module}"
        for name in re.findall(r"\bexamples/([\w./]+\w)", page.read_text()):
            assert (REPOSITORY / "examples" / name).is_file(), f"{page}: {name}"


def test_every_method_is_in_the_tables_of_methods_and_of_files() -> None:
    page = (REPOSITORY / "docs" / "methods.md").read_text()
    for method in METHODS:
        assert page.count(f"\n| `{method}` |") >= 2, method
