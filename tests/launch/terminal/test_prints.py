"""What ranks print on a terminal stands above the live panel, whole."""

from __future__ import annotations

import os
import pty
import re
import sys
from pathlib import Path

from tests.support.terminals import read_to_the_end
from tests.support.words import words

OWN = """
import os, sys

def cost(x):
    print("by print", flush=True)
    os.system("echo by child")
    print("by stderr", file=sys.stderr, flush=True)
    return float(x @ x)
"""
_CODE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\r|\n|[^\x1b\r\n]+")


def screen(text: str) -> list[str]:
    """The lines that a terminal shows in the end, with those that have scrolled away."""
    lines, row, column = [""], 0, 0
    for found in _CODE.finditer(text):
        match found[2] or found[0]:
            case "A":
                row = max(0, row - int(found[1] or 1))
            case "K":
                lines[row] = ""
            case "\r":
                column = 0
            case "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            case plain if not found[2]:
                padded = lines[row].ljust(column)
                lines[row] = padded[:column] + plain + padded[column + len(plain) :]
                column += len(plain)
    return lines


def test_prints_of_ranks_stand_above_the_panel(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "own.py").write_text(OWN)
    train = words("train cma-es --objective own:cost --dimension 2 --minimize --generations 3")
    train += words("--population-size 6 --ranks 2 --run-dir run")
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(tmp_path)
        os.execve(
            sys.executable,
            [sys.executable, "-P", "-m", "esengine", *train],
            environment | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"},
        )
    text = read_to_the_end(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, text
    left = [line.rstrip() for line in screen(text)]
    for what in ("by print", "by child", "by stderr"):
        assert left.count(what) == text.count(what), (what, left)
        assert left.count(what) >= 18
