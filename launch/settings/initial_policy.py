"""Settings of a run that starts from a policy that exists already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from esengine.checks import belong_to, not_negative, within


@dataclass(frozen=True)
class InitialPolicySettings:
    """Where the policy's parameters start, and how far they may move from there."""

    init_policy: Path | None = None
    """Start from this policy file, or from the policy of this run directory."""
    keep_skill: float = 0.8
    """With --init-policy: halve --sigma until members keep this share of the policy's return; 0
    keeps --sigma as it is.
    """
    anchor: float = 0.0
    """With --init-policy: subtract this much fitness for each unit of mean squared distance from
    the policy's parameters.
    """
    anchor_decay: float = 0.95
    """Factor on --anchor after every generation."""

    def check(self) -> None:
        """Raises UserError for values out of range, and for an anchor without a policy."""
        within(self, 0, 1, "keep_skill", "anchor_decay")
        not_negative(self, "anchor", way_out="0 turns it off")
        if self.init_policy is None:
            belong_to(self, "--init-policy", "none", "anchor")
