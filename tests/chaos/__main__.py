"""The long form: ``python -m tests.chaos --runs 100`` plays scenarios at random and writes the
table of docs/reliability.md.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

from esengine.launch.settings.flags import parse_process
from tests.chaos.scenarios import SCENARIOS, Scenario, reference, same_result, small_disk
from tests.chaos.table import write_table

_SAME, _SAME_INSIDE = "same", "same, with a checkpoint left half written"


@dataclass(frozen=True)
class ChaosSettings:
    """Disturb runs at random and compare each with the undisturbed result."""

    runs: int = 100
    """Number of disturbed runs."""
    first: int = 0
    """Number of the first of them, to play a part."""
    seed: int = 0
    """Scenarios, tasks and moments of run K are drawn by it and K."""
    jobs: int = 1
    """Runs at a time."""
    only: tuple[str, ...] = ()
    """Play scenarios of these names only, and write no table."""
    ranks: int | None = None
    """Workers of every run, in place of the scenarios' own numbers."""


class Play:
    """Runs beside each other in one folder; the undisturbed run of a task is made once."""

    def __init__(self, settings: ChaosSettings, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self._names = [name for name in SCENARIOS if not settings.only or name in settings.only]
        self._locks: defaultdict[str, Lock] = defaultdict(Lock)

    def run(self, number: int) -> tuple[str, str, str, float]:
        """One disturbed run; returns its scenario, its task, what came out, and the seconds that it
        took.
        """
        began = time.monotonic()
        dice = random.Random(f"{self._settings.seed}/{number}")
        scenario = SCENARIOS[self._names[number % len(self._names)]]
        if self._settings.ranks is not None:
            scenario = replace(scenario, ranks=self._settings.ranks)
        task = dice.choice(scenario.tasks)
        return (
            scenario.name,
            task,
            self._disturb(scenario, task, number, dice),
            time.monotonic() - began,
        )

    def _disturb(self, scenario: Scenario, task: str, number: int, dice: random.Random) -> str:
        quiet, disturbed = self._folder / task, self._folder / str(number)
        with self._locks[task]:
            if not quiet.exists():
                quiet.mkdir()
                reference(quiet, task)
        disturbed.mkdir()
        try:
            with small_disk(disturbed) if scenario.has_small_disk else nullcontext():
                run = scenario.play(disturbed, task, dice)
                same_result(quiet / "run", disturbed / "run")
        except (AssertionError, OSError) as error:
            return str(error) or "another result"
        if run.num_disturbed:
            return f"{_SAME}, {run.num_disturbed} births disturbed"
        return _SAME_INSIDE if run.killed_inside else _SAME


def main() -> None:
    """Play, print each run, write the table; the exit status says whether all was well."""
    settings = parse_process(ChaosSettings)
    if os.geteuid():
        raise SystemExit("the chaos suite must be run by root, who may mount a small disk")
    played, good = Counter[str](), Counter[str]()
    with (
        tempfile.TemporaryDirectory(prefix="esengine-chaos-") as folder,
        ThreadPoolExecutor(settings.jobs) as threads,
    ):
        play = Play(settings, Path(folder))
        numbers = range(settings.first, settings.first + settings.runs)
        runs = {threads.submit(play.run, number): number for number in numbers}
        for run in as_completed(runs):
            name, task, result, seconds = run.result()
            played[name] += 1
            good[name] += result.split(",")[0] == _SAME
            print(f"{runs[run] + 1}: {name} ({task}): {result}, {seconds:.0f} s", flush=True)
    if not settings.only:
        _write_table(played, good, settings)
    raise SystemExit(int(good != played))


def _write_table(played: Counter[str], good: Counter[str], settings: ChaosSettings) -> None:
    lines = ["| what happened | runs | same result, no hang, nothing left |", "|---|---|---|"]
    lines += [f"| {name} | {played[name]} | {good[name]} |" for name in SCENARIOS if played[name]]
    lines.append(f"| **all** | {played.total()} | {good.total()} |")
    command = f"python -m tests.chaos --runs {settings.runs} --seed {settings.seed}"
    write_table("chaos", f"`{command}`, {time.strftime('%Y-%m-%d')}:", lines)


if __name__ == "__main__":
    main()
