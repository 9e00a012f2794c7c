"""The price of fault tolerance: generations on ranks with and without it, in turns, as a ratio with
a confidence interval.

``python -m benchmarks.fault_tolerance --pairs 20`` times a run's generations; ``--env-id None
--members 32767`` leaves the episodes out, so that the engine's own work alone is left.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.ranks import Request, measured_by_ranks
from esengine.launch.mpirun import local_ranks
from esengine.launch.settings.flags import parse_process
from esengine.ranks import StopRequest


@dataclass(frozen=True)
class PriceSettings:
    """Time pairs of launches, one with and one without fault tolerance."""

    pairs: int = 20
    """Number of pairs; which comes first alternates."""
    workers: int = 2
    """Workers of a launch."""
    env_id: str | None = "HalfCheetah-v5"
    """Environment of whose episodes the run consists; None has members that do nothing."""
    members: int = 64
    """Members of a generation."""
    generations: int = 10
    """Generations of a launch; its median counts."""


@contextmanager
def _without_tolerance() -> Iterator[None]:
    """An mpirun that has no sign of fault tolerance beside it."""
    named = local_ranks.find_mpirun()
    with tempfile.TemporaryDirectory(prefix="esengine-") as folder:
        plain = Path(folder) / "mpirun"
        plain.write_text(f'#!/bin/sh\nexec {named} "$@"\n')
        plain.chmod(0o755)
        found = local_ranks.find_mpirun
        local_ranks.find_mpirun = lambda: str(plain)
        try:
            yield
        finally:
            local_ranks.find_mpirun = found


def main() -> None:
    """Measure, and print the ratio of times with its 95 % interval (bootstrap over pairs)."""
    settings, stop = parse_process(PriceSettings), StopRequest().install()
    request = Request(settings.members, settings.generations, env_id=settings.env_id)

    def tolerant() -> float:
        return statistics.median(measured_by_ranks(settings.workers, request, stop).wall_s)

    def plain() -> float:
        with _without_tolerance():
            return tolerant()

    ratios = []
    for pair in range(settings.pairs):
        with_it, without = (tolerant(), plain()) if pair % 2 else (plain(), tolerant())[::-1]
        ratios.append(with_it / without)
        print(
            f"pair {pair + 1}: {with_it * 1e3:.1f} ms with, {without * 1e3:.1f} ms without, ratio "
            f"{ratios[-1]:.4f}",
            flush=True,
        )
    draws = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
    print(
        f"ratio {statistics.median(ratios):.4f}, 95 % interval {low:.4f} to {high:.4f}, "
        f"{len(ratios)} pairs"
    )


if __name__ == "__main__":
    main()
