"""Settings of when a run ends. All of them may be changed when it is resumed."""

from __future__ import annotations

from dataclasses import dataclass

from esengine.checks import at_least, positive


@dataclass(frozen=True)
class BudgetSettings:
    """When the run ends; `esengine resume` may change all of these."""

    generations: int | None = None
    """Stop after this many generations; default 100 with an environment, 10000 with an objective.
    """
    max_env_steps: int | None = None
    """Stop after the generation in which training has used this many environment steps."""
    max_evaluations: int | None = None
    """Stop after the generation in which training has used this many episodes or function values.
    """
    max_time: float | None = None
    """Stop after the generation in which training has lasted this many seconds, earlier starts
    included.
    """
    target_return: float | None = None
    """Stop when an evaluation of the policy reaches this return; for an objective, when its best
    value does.
    """

    def check(self) -> None:
        """Raises UserError for a budget that is used up before the first generation."""
        at_least(self, 1, "generations", "max_env_steps", "max_evaluations")
        positive(self, "max_time", way_out="leave it out for no limit")
