"""CONTRIBUTING's recipe for a strategy, followed to the letter, gives a method that works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests import FOLDER
from tests.conftest import REPOSITORY
from tests.support.words import words

TOY = (REPOSITORY / "examples" / "hill_climb.py").read_text()
TEST = '''"""Hill climbing keeps the contract of strategies."""

from esengine.algorithms import HillClimbSettings
from esengine.algorithms.testing import Subject, checks


def test_hill_climbing_keeps_the_contract():
    for check in checks(Subject(HillClimbSettings(population_size=20, sigma=0.3))).values():
        check()
'''
CHANGES: dict[str, Callable[[str], str]] = {
    "algorithms/evolution/hill_climb.py": lambda text: TOY,
    "algorithms/__init__.py": lambda text: text.replace(
        "if TYPE_CHECKING:",
        "if TYPE_CHECKING:\n    from esengine.algorithms.evolution.hill_climb import (\n"
        "        HillClimb as HillClimb,\n        HillClimbSettings as HillClimbSettings,\n    )",
    ),
    "launch/settings/methods.py": lambda text: re.sub(
        r'^( *)"snes": .*\n',
        r'\g<0>\1"hill-climb": "evolution.hill_climb:HillClimbSettings",' + "\n",
        text,
        flags=re.MULTILINE,
    ),
    "tests/algorithms/evolution/test_hill_climb.py": lambda text: TEST,
}
"""What each file of the recipe becomes, of what it was."""


def files_of_recipe(title: str) -> list[str]:
    """Return the files that a recipe numbers."""
    page = (REPOSITORY / "CONTRIBUTING.md").read_text()
    recipe = page.partition(f"### {title}")[2].partition("\n###")[0]
    return re.findall(r"^\d+\. `([^`]+)`", recipe, re.MULTILINE)


def run_in(folder: Path, *command: str | Path) -> str:
    """Return what a Python command prints in a copy of the checkout."""
    environment = {name: value for name, value in os.environ.items() if name != FOLDER}
    result = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_a_strategy_is_added_by_the_files_of_its_recipe_alone(tmp_path: Path) -> None:
    recipe = [name.replace("<name>", "hill_climb") for name in files_of_recipe("Add a strategy")]
    assert sorted(recipe) == sorted(CHANGES)
    for name in ("esengine", "algorithms", "launch", "tests", "examples", "pyproject.toml"):
        origin = REPOSITORY / name
        if origin.is_dir():
            shutil.copytree(origin, tmp_path / name, symlinks=True)
        else:
            shutil.copy2(origin, tmp_path / name)

    for name, change in CHANGES.items():
        path = tmp_path / name
        before = path.read_text() if path.exists() else ""
        after = change(before)
        assert after != before
        path.write_text(after)

    run = words("train hill-climb --env-id CartPole-v1 --generations 2 --ranks 1 --run-dir run")
    assert "hill-climb" in run_in(tmp_path, "-m", "esengine", "--help")
    run_in(tmp_path, "-m", "esengine", *run)
    assert (tmp_path / "run" / "done.json").exists()
    contract = "tests/algorithms/evolution/test_hill_climb.py"
    assert "1 passed" in run_in(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", contract)
