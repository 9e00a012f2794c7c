"""Settings of the policy: its architecture, and how it sees and acts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from esengine.errors import UserError, listed
from esengine.launch.settings.search_space import MOST_PARAMETERS


@dataclass(frozen=True)
class PolicySettings:
    """The policy: its architecture, and how it sees and acts."""

    policy: Literal["auto", "linear", "mlp"] = "auto"
    """Architecture; auto is linear for MuJoCo tasks and mlp for all others."""
    hidden_sizes: tuple[int, ...] = (16,)
    """Units of each tanh layer of an mlp."""
    sampled_actions: bool = False
    """Draw actions from the policy's distribution instead of taking its mode."""
    normalize_observations: bool = True
    """Scale observations by their running mean and standard deviation."""

    def check(self) -> None:
        """Raises UserError for layers that no network can have."""
        if any(size < 1 for size in self.hidden_sizes):
            raise UserError(
                f"--hidden-sizes must be at least 1 each, got {listed(self.hidden_sizes)}; use "
                f"--policy linear for none"
            )
        if math.prod(self.hidden_sizes) > MOST_PARAMETERS:
            raise UserError(
                f"--hidden-sizes must make at most {MOST_PARAMETERS} parameters, got "
                f"{listed(self.hidden_sizes)}; use fewer"
            )
