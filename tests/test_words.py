"""Prose is plain: phrases that must be read twice are absent from pages, messages and docstrings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.support.modules import sources

INSTEAD = {
    r"of one's own": "custom, your own",
    r"an mpirun of your own": "if you start mpirun yourself",
    r"\bno good\b": "invalid",
    r"\bgo(es|ing)? on with\b": "resume, continue",
    r"\bso many\b": "n",
    r"\bmourn|\bbereaved|\bnarrator|\baudience\b|\bcrew\b|\bdesk\b": "the field's word",
    r"\bhears?\b|\bheard\b": "receives, is notified",
    r"\bknows? of\b": "a process has, holds",
    r"\bdear(er|est)?\b": "expensive",
    r"\bputs? up with\b": "tolerates",
    r"\bin the midst\b": "during",
    r"\bwhoever\b": "the rank that, the user who",
    r"\btells? (of|how|what|which|whether)\b": "reports, returns",
    r"\b(is|are) to be\b": "must, will",
    r"\blast words?\b": "the last line",
    r"(?<![\w/.-])esengine\[|pip install ([^'\s]+ )*'?esengine(?!-mpi|/)": "esengine-mpi[...]",
    r"\bend of its own\b|\blife of its own\b": "plain words",
}
"""Patterns, and the words to use instead."""

PROSE = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    *sources("esengine", "algorithms", "launch", "examples"),
]


@pytest.mark.parametrize("pattern", INSTEAD)
def test_stilted_phrases_are_absent(pattern: str) -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}:{number}"
        for path in PROSE
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(pattern, line, re.IGNORECASE)
    ]
    assert found == [], f"write: {INSTEAD[pattern]}"


def test_the_patterns_find_what_they_are_for() -> None:
    assert re.search(r"\bso many\b", "after so many steps")
    assert isinstance(PROSE[0], Path)


@pytest.mark.parametrize("text", ["pip install 'esengine[torch]'", "pip install -U esengine"])
def test_a_stranger_s_distribution_is_named_nowhere(text: str) -> None:
    (pattern,) = (pattern for pattern in INSTEAD if "pip install" in pattern)
    assert re.search(pattern, text)
    assert not re.search(pattern, text.replace("esengine", "esengine-mpi"))
