"""Settings of what policies are rewarded for, if not by the environment alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from esengine.checks import finite, within


@dataclass(frozen=True)
class RewardSettings:
    """A learned reward to train on. Evaluations report the environment's own reward."""

    reward: Path | None = None
    """Train on this learned reward, a file or a run directory, instead of the environment's own
    reward.
    """
    environment_weight: float = 0.0
    """With --reward: add the environment's own reward times this."""
    potential: Path | None = None
    """Take this learned reward as a potential h(s), and add gamma h(s') - h(s) to the reward of
    training.
    """
    potential_discount: float = 1.0
    """Gamma of --potential; with 1 the order of policies can change only by where episodes begin
    and are cut.
    """

    def check(self) -> None:
        """Raises UserError for values out of range."""
        finite(self, "environment_weight")
        within(self, 0, 1, "potential_discount", ends="(]")
