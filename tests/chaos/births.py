"""What can happen to the replacement of a worker before it serves."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Set
from typing import TYPE_CHECKING

from tests.support import processes
from tests.support.processes import Rank

if TYPE_CHECKING:
    from tests.chaos.scenarios import Run

REFUSALS = "ESENGINE_TEST_REFUSALS"
"""How many births of a run the system refuses, see `worlds`."""
_MOST_BIRTH_S = 2.5  # a little more than a birth takes on a quiet machine
_ROUNDS = 3
_HELD_S = 40.0  # more than a birth may take; who stands still then has served before


def killed(run: Run, newborn: list[Rank]) -> None:
    """By a signal, as by the kernel when memory runs out."""
    processes.kill(rank.pid for rank in newborn)


def suspended(run: Run, newborn: list[Rank]) -> None:
    """For longer than a birth may take."""
    pids = {rank.pid for rank in newborn}
    processes.kill(pids, signal.SIGSTOP)
    deadline = time.monotonic() + _HELD_S
    while time.monotonic() < deadline and pids & {rank.pid for rank in replacements(run)}:
        time.sleep(0.05)
    processes.kill(pids, signal.SIGCONT)


def refused(run: Run, newborn: list[Rank]) -> None:
    """By the system, before it is a process. The run's environment has seen to that."""


def disturbed(what: Callable[[Run, list[Rank]], None], leaders: bool) -> Callable[[Run], None]:
    """Kill workers, and do something to their replacements at a random moment of their births.

    Args:
        what: what happens to the replacements.
        leaders: whether all ranks of a pretended node die, so that a replacement leads it.
            Otherwise one worker dies, or all of them at once.
    """

    def once(run: Run) -> None:
        run.pause()
        workers = processes.workers(run.mark)
        if leaders:
            victims = [rank for rank in workers if rank.number > 1]
        else:
            victims = workers if run.dice.random() < 0.5 else workers[:1]
        known = {rank.pid for rank in workers}
        processes.kill(rank.pid for rank in victims)
        while run.process.poll() is None and not replacements(run, known):
            time.sleep(0.005)

        run.pause(_MOST_BIRTH_S)
        newborn = replacements(run, known)
        if what is not refused:
            run.num_disturbed += len(newborn)
        what(run, newborn)

    def disturb(run: Run) -> None:
        for _ in range(_ROUNDS):
            once(run)
            run.wait_for_generation(run.generation() + 1)

    return disturb


def replacements(run: Run, known: Set[int] = frozenset()) -> list[Rank]:
    """The replacements that were not known before."""
    found = processes.workers(run.mark)
    return [rank for rank in found if rank.is_replacement and rank.pid not in known]
