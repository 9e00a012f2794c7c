"""What a program that does nothing costs as a member, above its own start."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from collections.abc import Callable

import numpy as np

from esengine.errors import UserError
from esengine.launch.bench.figures import BenchSettings, Figure
from esengine.launch.settings.programs import ProgramSettings

_MOST_S = 3e-3
_STARTS = 50  # of one measurement


def bench_programs(settings: BenchSettings) -> list[Figure]:
    """Measure the start of a program as a member, and alone, in turns.

    Raises:
        UserError: this machine has no program for it.
    """
    nothing = shutil.which("true")
    if nothing is None:
        raise UserError("bench programs needs the program true, and found none; install coreutils")
    writes = "sh -c 'echo 1 > {output}'"
    point = np.zeros(8)

    figures = []
    for name, command, alone in (
        ("reads input, writes output", writes, ["sh", "-c", "echo 1 > /dev/null"]),
        ("reads input, prints", "sh -c 'echo 1'", ["sh", "-c", "echo 1"]),
    ):
        file = "stdout" if "{output}" not in command else "output.txt"
        own = ProgramSettings(output_file=file)
        program = own.program(command, {f"x{i}": False for i in range(8)}, ("value",), None)
        program.at(1, 0)
        ours, theirs = _in_turns(
            lambda program=program: program(point),  # type: ignore[misc]
            lambda alone=alone: subprocess.run(alone, capture_output=True, check=True),  # type: ignore[misc]
            settings.repeats,
        )
        program.close()
        above = max(ours - theirs, 1e-9)
        figures += [
            Figure(
                f"program that {name}", 1 / ours, "members per s", "its own start", theirs / ours
            ),
            Figure(
                f"time above its start, {name}",
                1e3 * above,
                "ms",
                f"{1e3 * _MOST_S:g} ms",
                _MOST_S / above,
                1.0,
            ),
        ]
    return figures


def _in_turns(
    ours: Callable[[], object], theirs: Callable[[], object], repeats: int
) -> tuple[float, float]:
    """Median seconds of one call of each."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats * _STARTS):
        for function, own in zip((ours, theirs), seconds, strict=True):
            began = time.perf_counter()
            function()
            own.append(time.perf_counter() - began)
    return statistics.median(seconds[0]), statistics.median(seconds[1])
