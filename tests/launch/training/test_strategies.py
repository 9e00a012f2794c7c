"""A user's own strategy: one file, named by ``--strategy module:Class``."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Run
from tests.support.runs import same_run
from tests.support.words import words

OWN = words("train --strategy hill_climb:HillClimb --population-size 12 --env-id CartPole-v1")


@pytest.fixture(autouse=True)
def example(tmp_path: Path) -> Path:
    """The example's file where the program runs."""
    return Path(shutil.copy(REPOSITORY / "examples" / "hill_climb.py", tmp_path))


def test_it_runs_and_resumes_on_any_number_of_ranks(
    esengine: Run, esengine_here: Run, tmp_path: Path
) -> None:
    assert (
        esengine_here(
            *OWN, "--generations", "4", "--ranks", "1", "--run-dir", "straight"
        ).returncode
        == 0
    )
    assert (
        esengine(*OWN, "--generations", "2", "--ranks", "2", "--run-dir", "parts").returncode == 0
    )
    for look in (
        ("watch", "--once"),
        ("plot", "--out", "curves.png"),
        ("report", "--out", "page.html"),
        ("status",),
    ):  # none of them runs the strategy's code
        assert esengine_here(*look, "parts").returncode == 0, look
    refused = esengine_here("resume", "parts", "--generations", "4")
    assert refused.returncode == 2
    assert (
        "names the module 'hill_climb:HillClimb', whose code would run; add --trust-modules"
        in refused.stderr
    )
    result = esengine_here(
        "resume", "parts", "--generations", "4", "--ranks", "1", "--trust-modules"
    )
    assert result.returncode == 0, result.stderr
    same_run(tmp_path / "straight", tmp_path / "parts")
    assert (
        json.loads((tmp_path / "parts" / "config.json").read_text())["config"]["method"]
        == "hill_climb:HillClimb"
    )


def test_a_file_alone_runs_no_code(
    esengine: Run, esengine_here: Run, tmp_path: Path, example: Path
) -> None:
    assert (
        esengine_here(*OWN, "--generations", "1", "--ranks", "1", "--run-dir", "run").returncode
        == 0
    )
    example.write_text(
        "open('imported', 'w')\n"
        + example.read_text().replace("from __future__ import annotations\n", "")
    )
    assert esengine("resume", "run", "--generations", "2").returncode == 2
    assert not (tmp_path / "imported").exists()


def test_its_settings_are_flags(esengine: Run) -> None:
    result = esengine("train", "hill_climb:HillClimb", "--help")
    assert result.returncode == 0
    assert "Standard deviation of a mutation" in result.stdout


BARE = "class Search:\n    pass\n"
SETTINGS = (
    BARE + "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass SearchSettings:\n    "
    "seed: int = 0\n"
)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (BARE, "--strategy own:Search needs a frozen dataclass SearchSettings beside it, got none"),
        (
            SETTINGS,
            "SearchSettings must have antithetic, check and strategy, lacks antithetic, check, "
            "strategy",
        ),
        (
            SETTINGS
            + "    antithetic = False\n    def check(self): pass\n    def strategy(self, initial, "
            "seed): pass\n",
            "settings of own:Search must have names of their own, got seed; rename them",
        ),
        (
            "def Searches(): pass\n",
            "--strategy must name a Class of own, got no such name for 'Search'",
        ),
    ],
)
def test_what_is_no_strategy_is_refused_in_one_sentence(
    esengine_here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, words: str
) -> None:
    monkeypatch.delitem(sys.modules, "own", raising=False)
    (tmp_path / "own.py").write_text(source)
    result = esengine_here("train", "--strategy", "own:Search", "--env-id", "CartPole-v1")
    assert (result.returncode, result.stdout) == (2, "")
    assert words in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("train", "--strategy", "hill_climb"),
            "--strategy must be module:Class, got 'hill_climb'",
        ),
        (
            ("train", "openai-es", *OWN[1:]),
            "a run has one method, got openai-es and --strategy hill_climb:HillClimb",
        ),
    ],
)
def test_the_name_must_be_one_strategy(
    esengine_here: Run, arguments: tuple[str, ...], words: str
) -> None:
    result = esengine_here(*arguments)
    assert result.returncode == 2
    assert words in result.stderr
