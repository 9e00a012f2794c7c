"""What a measuring program prints, and the clocks it reads. Needs nothing but Python, for it runs
in every environment.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from importlib.metadata import version


def emit(value: float, packages: tuple[str, ...], threads: str, detail: str = "") -> None:
    """Print the figure.

    Args:
        value: in the unit of the comparison.
        packages: distributions whose versions belong to the figure.
        threads: what the measured process computes with, in words.
        detail: what the work amounted to, for the page.
    """
    versions = {name: version(name) for name in packages}
    print(
        json.dumps({"value": value, "versions": versions, "threads": threads, "detail": detail}),
        flush=True,
    )


def rate(
    work: Callable[[], int], clock: Callable[[], float] = time.process_time, least_s: float = 1.0
) -> float:
    """Units of work a second of ``clock``.

    Args:
        work: does some and returns how much; called at least twice, and until ``least_s`` have
            passed.
        clock: CPU seconds of this process with all its threads, or `time.perf_counter` for work of
            several processes.
        least_s: seconds of ``clock``.
    """
    done, calls, began = 0, 0, clock()
    while calls < 2 or clock() - began < least_s:
        done += work()
        calls += 1
    return done / (clock() - began)
