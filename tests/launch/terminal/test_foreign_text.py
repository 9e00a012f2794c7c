"""What files and user code say reaches a terminal in one way: printable, cut, and no markup."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esengine.errors import printable, shown
from tests.conftest import Run
from tests.support.modules import sources, tree
from tests.support.words import words

EVIL = "\x1b[2J\x1b[31mx\r\x07\nesengine: all is well\u202e[/bold][red]$\\frac{$" + 999 * "y"
RAW = ("submission.py",)  # prints a script, which a shell may read
SAFE = {"printable", "shown", "marked", "_title"}


def test_a_text_is_shown_in_one_printable_line() -> None:
    assert shown("as it is: é ☃ [b] $x$") == "as it is: é ☃ [b] $x$"
    assert shown("a\x1b[2J\r\nb\u202e\x9b\x00") == "a\\x1b[2J\\r\\nb\\u202e\\x9b\\x00"
    assert shown(999 * "y") == 200 * "y" + " ..."
    assert shown(999 * "y", None) == 999 * "y"
    assert printable("a\tb\nc\x1b[2J\r") == "a\tb\nc\\x1b[2J\\r"


def calls(name: str) -> Iterator[tuple[Path, ast.Call]]:
    """The calls of a function or a method in the modules of the commands."""
    for path in sources("launch"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call):
                own = node.func
                if name == (own.id if isinstance(own, ast.Name) else getattr(own, "attr", "")):
                    yield path, node


def names_in(node: ast.AST) -> set[str]:
    """The functions and methods that an expression calls."""
    found = [call.func for call in ast.walk(node) if isinstance(call, ast.Call)]
    return {getattr(own, "id", getattr(own, "attr", "")) for own in found}


def test_commands_print_in_no_other_way() -> None:
    wrong = []
    for path, call in calls("print"):
        is_builtin = isinstance(call.func, ast.Name)
        parts = [node for node in ast.walk(call) if isinstance(node, ast.FormattedValue)]
        is_safe = all(names_in(part) & SAFE for part in parts)
        if path.name not in RAW and (is_builtin or not is_safe):
            wrong.append(f"{path}:{call.lineno}")
    assert wrong == []

    markup = {path.name for path in sources("launch") if "rich.markup" in path.read_text()}
    assert markup == {"output.py"}


@pytest.fixture
def run(esengine_here: Run, tmp_path: Path) -> Path:
    train = "train openai-es --env-id CartPole-v1 --population-size 8 --generations 2 --ranks 1"
    ended = esengine_here(*words(train), *words("--quiet --run-dir run --final-episodes 1"))
    assert ended.returncode == 0, ended.stderr
    return tmp_path / "run"


def with_text(value: Any, text: str) -> Iterator[Any]:
    """A JSON value with a text in place of one of its texts, for each."""
    if isinstance(value, str):
        yield text
    for key in value if isinstance(value, dict) else ():
        for changed in with_text(value[key], text):
            yield value | {key: changed}
    for index, part in enumerate(value if isinstance(value, list) else ()):
        for changed in with_text(part, text):
            yield [*value[:index], changed, *value[index + 1 :]]


COMMANDS = ("status run", "watch run --once")
LATER = ("report run --no-film --out page.html", "plot run --out plot.png")


def test_no_text_of_a_record_moves_the_cursor_or_forges_a_line(
    run: Path, esengine_here: Run
) -> None:
    def check(command: str) -> None:
        ended = esengine_here(*words(command))
        told = ended.stdout + ended.stderr
        assert ended.returncode in (0, 1, 2), (command, told)
        assert not set(told) & set("\x1b\r\x07\u202e"), (command, told)
        assert "\nesengine: all is well" not in told, (command, told)
        assert max(map(len, told.splitlines()), default=0) < 1500, (command, told)

    for name in ("config.json", "done.json"):
        record = json.loads((run / name).read_text())
        whole = (run / name).read_bytes()
        for number, changed in enumerate(with_text(record, EVIL)):
            (run / name).write_text(json.dumps(changed))
            for command in COMMANDS:
                check(command)
            if number == 0 and name == "config.json":
                changed["config"]["train"]["env_id"] = "$\\frac{$ [/bold]"
                (run / name).write_text(json.dumps(changed))
                for command in LATER:
                    check(command)
        (run / name).write_bytes(whole)


def test_the_environment_of_demonstrations_is_shown_as_a_text(
    esengine_here: Run, tmp_path: Path
) -> None:
    np.savez(
        tmp_path / "some.npz",
        environment=json.dumps({"env_id": EVIL.replace(":", ""), "arguments": {}}),
        lengths=[1],
        observations=np.zeros((2, 4)),
        actions=np.zeros((1, 1)),
        rewards=np.zeros(1),
        terminated=[True],
        truncated=[False],
    )
    told = esengine_here("demos", "inspect", "some.npz")
    assert told.returncode == 2
    assert "\x1b" not in told.stderr
    assert "\nesengine" not in told.stderr
