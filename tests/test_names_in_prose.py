"""Names in backticks on the pages exist: as a file, a flag, a command, or a name in the sources."""

from __future__ import annotations

import re
import tokenize
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from esengine.launch.command_table import COMMANDS
from tests.conftest import REPOSITORY
from tests.support.modules import sources

PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]
RECORDS = REPOSITORY / "docs" / "decisions"
"""Records of decisions, which may name what was deleted since, where their status says so."""
FOREIGN_FLAGS = {
    "--help-all",
    *("--with-ft", "--oversubscribe", "--bind-to", "--map-by", "--mpi", "--constraint", "--logdir"),
}
"""Flags of other programs, and those of no setting."""
NOT_TRACKED = {"benchmarks/peers/.envs"}
"""Folders that a command makes."""


TEXTS = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
"""Tokens that hold texts; formatted ones have tokens of their own from Python 3.12 on."""


@cache
def words_of_sources() -> frozenset[str]:
    """Return every name in the sources, and every word of their texts."""
    found: set[str] = set()
    for path in sources("esengine", "algorithms", "launch", "examples", "benchmarks", "tests"):
        with tokenize.open(path) as file:
            for token in tokenize.generate_tokens(file.readline):
                if token.type == tokenize.NAME:
                    found.add(token.string)
                elif token.type in TEXTS:
                    found |= set(re.findall(r"[\w-]+(?:\.\w+)*", token.string))
    return frozenset(found | {word.replace("-", "_") for word in found})


@cache
def files() -> frozenset[str]:
    """Return the paths of all files and folders of the repository, and their names."""
    kept = [path for path in REPOSITORY.rglob("*") if not {".git", ".venv"} & set(path.parts)]
    paths = {str(path.relative_to(REPOSITORY)) for path in kept}
    return frozenset(paths | {path.name for path in kept} | {path.stem for path in kept})


def is_foreign(name: str) -> bool:
    """Return whether a dotted name is one of an installed package."""
    home, _, attribute = name.rpartition(".")
    try:
        return bool(home) and hasattr(import_module(home), attribute)
    except ImportError:
        return False


def quoted(page: Path) -> Iterator[str]:
    """Yield what stands in backticks, code blocks left out."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    if page.name == "coming.md":  # the first column has names of other packages
        text = re.sub(r"^\|[^|]*\|", "", text, flags=re.MULTILINE)
    for match in re.finditer(r"(?<!`)`([^`]+)`(?!`)", text):
        yield " ".join(match[1].split())


def unknown(text: str) -> str | None:
    """Return the first part of a text in backticks that does not exist, or None."""
    known = words_of_sources()
    for word in text.split():
        word = word.strip("()[],:;\"'")
        flag = re.match(r"--[a-z][\w-]*", word)
        if flag:
            name = flag[0].removeprefix("--").removeprefix("no-").replace("-", "_")
            if flag[0] not in FOREIGN_FLAGS and name not in known:
                return flag[0]
        elif re.fullmatch(r"[\w.<>*-]+(/[\w.<>*-]*)+", word) and "." in word.rpartition("/")[2]:
            pattern = re.escape(word.rstrip("/"))
            pattern = re.sub(r"<\w+>|\\\*", "[^/]*", pattern)
            found = files() | known | NOT_TRACKED
            if not any(re.fullmatch(pattern, name) for name in found):
                return word
        elif word.isupper():  # a placeholder
            continue
        elif re.fullmatch(r"[A-Za-z_][\w]*(\.[A-Za-z_]\w*)*", word):
            missing = [part for part in word.split(".") if part not in known | files()]
            if missing and word not in known | files() and not is_foreign(word):
                return word
    command = re.match(r"esengine ([a-z]+)\b", text)
    if command and command[1] not in COMMANDS:
        return text
    target = re.match(r"make ([a-z]+)$", text)
    if target and f"\n{target[1]}:" not in (REPOSITORY / "Makefile").read_text():
        return text
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_names_in_backticks_exist(page: Path) -> None:
    is_history = page.parent == RECORDS and re.search(
        r"^Status: (rejected|superseded)", page.read_text(), re.M
    )
    assert is_history or sorted({text for text in quoted(page) if unknown(text)}) == []
