"""Lists of seeds."""

from __future__ import annotations

import re

from esengine.errors import UserError


def seeds_of(text: str) -> list[int]:
    """Seeds from a text such as ``0-4`` or ``0,3,7``. Raises UserError for another one."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        last = int(match[2] or match[1]) if match else -1
        if match is None or not 0 <= last - int(match[1]) < 10_000:
            raise UserError(f"--seeds must be such as 0-4 or 0,3,7, got {text!r}; use 0-4")
        seeds += range(int(match[1]), last + 1)
    return list(dict.fromkeys(seeds))
