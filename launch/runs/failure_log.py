"""``failures.jsonl`` of a run directory: the members that raised, ran out of time or ended their
workers, one object a line.
"""

from __future__ import annotations

import json
from pathlib import Path

from esengine.problems.failures import Failure

FILE = "failures.jsonl"


class FailureLog:
    """The record of a run's failed members.

    Args:
        folder: the run directory.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def add(self, failures: list[Failure]) -> None:
        with open(self.path, "a") as file:
            file.writelines(json.dumps(failure) + "\n" for failure in failures)

    def read(self) -> list[Failure]:
        """All failures, the latest of each member; a line that was cut short by a crash is left
        out.
        """
        found: dict[tuple[int, str, int], Failure] = {}
        for line in (
            self.path.read_text(errors="replace").splitlines() if self.path.exists() else ()
        ):
            try:
                failure = json.loads(line)
                found[
                    int(failure["generation"]), str(failure["purpose"]), int(failure["member"])
                ] = failure
            except (ValueError, KeyError, TypeError):
                continue
        return list(found.values())

    def cut(self, generation: int) -> None:
        """Keep what happened up to a generation, which is where the run goes on from."""
        if self.path.exists():
            kept = [
                json.dumps(failure) + "\n"
                for failure in self.read()
                if failure["generation"] <= generation
            ]
            aside = self.path.with_name(f".{FILE}")
            aside.write_text("".join(kept))
            aside.rename(self.path)
