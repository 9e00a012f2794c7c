"""The long form: ``python -m tests.chaos --runs 100`` plays scenarios at random and writes the table of docs/reliability.md."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from tests.chaos.scenarios import SCENARIOS, Scenario, reference, same_result, small_disk
from tests.conftest import REPOSITORY

_DOCUMENT = REPOSITORY / "docs" / "reliability.md"
_SAME, _SAME_INSIDE = "same", "same, with a checkpoint left half written"
_BEGIN, _END = "<!-- chaos: begin -->", "<!-- chaos: end -->"


@dataclass(frozen=True)
class ChaosSettings:
    """Disturb runs at random and compare each with the undisturbed result."""

    runs: int = 100
    """Number of disturbed runs."""
    seed: int = 0
    """Scenarios, tasks and moments are drawn by it."""
    only: tuple[str, ...] = ()
    """Play scenarios of these names only, and write no table."""
    ranks: int | None = None
    """Workers of every run, in place of the scenarios' own numbers."""


def main() -> None:
    """Play, print each run, write the table; the exit status says whether all was well."""
    settings = tyro.cli(ChaosSettings)
    dice = random.Random(settings.seed)
    scenarios = [scenario for name, scenario in SCENARIOS.items() if not settings.only or name in settings.only]
    played, good = Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="esengine-chaos-") as folder:
        for number in range(settings.runs):
            scenario = scenarios[number % len(scenarios)]
            if scenario.has_small_disk and os.geteuid():
                print(f"{number + 1}: {scenario.name}: left out, since only root may mount a small disk", flush=True)
                continue
            if settings.ranks is not None:
                scenario = replace(scenario, ranks=settings.ranks)
            task = dice.choice(scenario.tasks)
            played[scenario.name] += 1
            began = time.monotonic()
            result = _play(scenario, task, Path(folder), number, dice)
            good[scenario.name] += result in (_SAME, _SAME_INSIDE)
            print(f"{number + 1}: {scenario.name} ({task}): {result}, {time.monotonic() - began:.0f} s", flush=True)
    if not settings.only:
        _write_table(played, good, settings)
    raise SystemExit(int(good != played))


def _play(scenario: Scenario, task: str, folder: Path, number: int, dice: random.Random) -> str:
    """One disturbed run; returns what was wrong, or that nothing was."""
    quiet, disturbed = folder / task, folder / str(number)
    if not quiet.exists():
        quiet.mkdir()
        reference(quiet, task)
    disturbed.mkdir()
    try:
        with small_disk(disturbed) if scenario.has_small_disk else nullcontext():
            run = scenario.play(disturbed, task, dice)
            same_result(quiet / "run", disturbed / "run")
    except AssertionError as error:
        return str(error) or "another result"
    return _SAME_INSIDE if run.killed_inside else _SAME


def _write_table(played: Counter[str], good: Counter[str], settings: ChaosSettings) -> None:
    lines = ["| what happened | runs | same result, no hang, nothing left |", "|---|---|---|"]
    lines += [f"| {name} | {played[name]} | {good[name]} |" for name in played]
    lines.append(f"| **all** | {played.total()} | {good.total()} |")
    text = _DOCUMENT.read_text()
    before, rest = text.split(_BEGIN)
    _, after = rest.split(_END)
    command = f"`python -m tests.chaos --runs {settings.runs} --seed {settings.seed}`, {time.strftime('%Y-%m-%d')}:"
    _DOCUMENT.write_text("\n".join([before + _BEGIN, command, "", *lines, "", _END + after]))


if __name__ == "__main__":
    main()
