"""Command lines in tests, written as people type them."""

from __future__ import annotations


def words(line: str) -> tuple[str, ...]:
    """Return the words of a command line without quotes."""
    return tuple(line.split())
