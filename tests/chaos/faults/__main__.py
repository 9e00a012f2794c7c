"""``make faults``: each system call on the files of a command fails once, in turn, or kills it;
then the command is repeated, and its result compared with that of an undisturbed one.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

from esengine.launch.settings.flags import parse_process
from tests.chaos.faults.injection import MODES, Injection, preloaded
from tests.chaos.faults.scenarios import SCENARIOS
from tests.chaos.table import write_table


@dataclass(frozen=True)
class FaultsSettings:
    """Let every system call on a command's files fail, and compare what comes of it."""

    only: tuple[str, ...] = ()
    """Scenarios of these names only, and write no table."""
    stride: int = 1
    """Disturb every n-th call only."""
    first: int = 1
    """The first call to disturb."""


def main() -> None:
    """Disturb, print what is wrong, write the table; the exit status says whether all was well."""
    settings = parse_process(FaultsSettings)
    tries, good = Counter[str](), Counter[str]()
    lines = [
        "| what is disturbed | system calls | " + " | ".join(MODES) + " |",
        "|---|---|---|---|---|",
    ]
    for name in settings.only or SCENARIOS:
        began = time.monotonic()
        with Injection(SCENARIOS[name]) as injection:
            cells = []
            for mode in MODES:
                numbers = range(settings.first, injection.num_calls + 1, settings.stride)
                faults = {n: fault for n in numbers if (fault := injection.disturb(n, mode))}
                for number, fault in faults.items():
                    print(f"{name}, {mode} at call {number}: {fault}", flush=True)
                tries[mode] += len(numbers)
                good[mode] += len(numbers) - len(faults)
                cells.append(f"{len(numbers) - len(faults)} of {len(numbers)}")
            lines.append(f"| {name} | {injection.num_calls} | " + " | ".join(cells) + " |")
            print(lines[-1], f"{time.monotonic() - began:.0f} s", flush=True)
    if not settings.only:
        write_table(
            "faults", f"`python -m tests.chaos.faults`, {time.strftime('%Y-%m-%d')}:", lines
        )
    raise SystemExit(int(good != tries))


if __name__ == "__main__":
    preloaded()
    main()
