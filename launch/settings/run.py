"""Settings of the run and of its starts: the seed, what is kept, and how it is carried out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from esengine.checks import at_least


@dataclass(frozen=True)
class RunSettings:
    """The run: its seed, and what is kept of it."""

    seed: int = 0
    """Seed of every random number. The result depends on it, and not on the number of ranks."""
    run_dir: Path | None = None
    """Directory of the run; default runs/<method>-<environment>-<seed>-<time>."""
    checkpoint_every: int = 10
    """Generations between checkpoints; 0 saves only at the end."""
    keep_checkpoints: int = 3
    """Number of newest checkpoints to keep."""
    noise_table_size: int | None = None
    """Numbers in the noise table, a power of two; default 2^24 (64 MB per node) to 2^28, depending
    on the parameters; 0 computes noise without a table.
    """

    def check(self) -> None:
        """Raises UserError for values out of range."""
        at_least(self, 0, "seed", "checkpoint_every")
        at_least(self, 1, "keep_checkpoints")


@dataclass(frozen=True)
class StartSettings:
    """One start of a run. No result depends on these, and each `esengine resume` has its own."""

    ranks: int | None = None
    """Workers to start on this machine; default one per core. 1 stays in this process."""
    trust_modules: bool = False
    """Import the modules to which files refer, which runs their code."""
    quiet: bool = False
    """Print only errors."""

    def check(self) -> None:
        """Raises UserError for less than one worker."""
        at_least(self, 1, "ranks")
