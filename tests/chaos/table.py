"""Tables of the manual that a program writes."""

from __future__ import annotations

from tests.conftest import REPOSITORY


def write_table(name: str, heading: str, lines: list[str], page: str = "reliability.md") -> None:
    """Replace what stands between the marks ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->`` of
    a page.
    """
    document = REPOSITORY / "docs" / page
    begin, end = (f"<!-- {name}: {mark} -->" for mark in ("begin", "end"))
    before, rest = document.read_text().split(begin)
    _, after = rest.split(end)
    document.write_text("\n".join([before + begin, heading, "", *lines, "", end + after]))
