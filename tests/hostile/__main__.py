"""The long form: ``python -m tests.hostile`` tries every command with every kind of file in every
place, and prints what went wrong.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from esengine.launch.settings.flags import parse_process
from tests.hostile.tries import MOST_SECONDS, Stage, all_tries


@dataclass(frozen=True)
class HostileSettings:
    """Put links, pipes, devices, folders, bombs and other runs' files into the places of a run's."""

    every: int = 1
    """Try one in so many."""
    first: int = 0
    """Number of the first one."""
    patience_s: float = MOST_SECONDS
    """Seconds that a command may take; more on a busy machine."""
    only: str = ""
    """Try those alone whose description has this text."""


def main(settings: HostileSettings) -> int:
    chosen = [one for one in all_tries() if settings.only in str(one)]
    chosen = chosen[settings.first :: settings.every]
    wrong = 0
    kinds: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="esengine-hostile-") as folder:
        stage = Stage(Path(folder))
        for one in chosen:
            found = stage.play(one, settings.patience_s)
            kinds[one.kind] += 1
            wrong += bool(found)
            for text in found:
                print(f"WRONG {one}: {text}", flush=True)
    print(f"{len(chosen)} tries, {wrong} wrong; {dict(kinds)}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(parse_process(HostileSettings)))
