"""What a program shows on a pseudo-terminal."""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress

_STYLES = ("\x1b[1m", "\x1b[0m")


def read_until(terminal: int, part: str, timeout_s: float = 60.0) -> str:
    """What comes from the terminal until it shows ``part``, without the codes for bold."""
    text, end = "", time.monotonic() + timeout_s
    while part not in text and time.monotonic() < end:
        if select.select([terminal], [], [], 0.5)[0]:
            text += os.read(terminal, 65536).decode(errors="replace")
            for style in _STYLES:
                text = text.replace(style, "")
    assert part in text, text
    return text


def read_to_the_end(terminal: int) -> str:
    """What comes from the terminal until no process has it open, which also closes it here."""
    parts = []
    with suppress(OSError):  # Linux's way to say so
        while part := os.read(terminal, 65536):
            parts.append(part)
    os.close(terminal)
    return b"".join(parts).decode(errors="replace")
