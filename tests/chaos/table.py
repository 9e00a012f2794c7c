"""Tables of docs/reliability.md that a program writes."""

from __future__ import annotations

from tests.conftest import REPOSITORY

_DOCUMENT = REPOSITORY / "docs" / "reliability.md"


def write_table(name: str, heading: str, lines: list[str]) -> None:
    """Replace what stands between the marks ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``."""
    begin, end = (f"<!-- {name}: {mark} -->" for mark in ("begin", "end"))
    before, rest = _DOCUMENT.read_text().split(begin)
    _, after = rest.split(end)
    _DOCUMENT.write_text("\n".join([before + begin, heading, "", *lines, "", end + after]))
