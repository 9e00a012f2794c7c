"""The TOML file of ``--config`` sets flags, and is checked as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Run
from tests.support.words import words


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
