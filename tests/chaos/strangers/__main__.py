"""``python -m tests.chaos.strangers [NAME ...]`` plays all cases, or those of these names."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from importlib import import_module
from pathlib import Path

from tests.chaos.strangers.place import CASES, Case, Place, Wrong, must

TOPICS = (
    "containment",
    "ranks",
    "trials",
    "finite",
    "fast_path",
    "arguments",
    "foreign_files",
    "resumes",
    "closing_words",
)
"""The modules of the cases."""


def play(case: Case, folder: Path) -> str:
    """Play a case in a new folder. Returns what is wrong, or an empty text."""
    place = Place(case.name, folder / case.name)
    try:
        case.play(place)
        time.sleep(0.3)
        must(not place.left(), "processes are left")
    except (Wrong, OSError, ValueError, KeyError) as error:
        print("\n".join(place.log), file=sys.stderr)
        return str(error) or type(error).__name__
    finally:
        place.end_left()
    return ""


def main(names: list[str]) -> int:
    """Play, print each case and the counts; returns 1 if a case is not as it should be."""
    for topic in TOPICS:
        import_module(f"tests.chaos.strangers.{topic}")
    played = Counter[str]()
    good = Counter[str]()
    with tempfile.TemporaryDirectory(prefix="esengine-strangers-") as folder:
        for case in CASES:
            if names and case.name not in names:
                continue
            began = time.monotonic()
            wrong = play(case, Path(folder))
            played[case.topic] += 1
            good[case.topic] += not wrong
            verdict = f"WRONG: {wrong}; it should be: {case.should}" if wrong else "as it should be"
            seconds = time.monotonic() - began
            print(f"{case.topic}: {case.name}, {seconds:.0f} s: {verdict}", flush=True)

    for topic, number in played.items():
        print(f"{topic}: {good[topic]} of {number}")
    return int(good != played)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
