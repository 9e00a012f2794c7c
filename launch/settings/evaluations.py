"""Settings of the evaluations of the policy during a run and at its end."""

from __future__ import annotations

from dataclasses import dataclass

from esengine.checks import at_least


@dataclass(frozen=True)
class EvaluationSettings:
    """Evaluations of the policy, which training does not learn from."""

    eval_every: int = 10
    """Generations between evaluations of the policy; 0 evaluates only at the end."""
    eval_episodes: int = 10
    """Episodes of an evaluation, always from the same start states."""
    final_episodes: int = 20
    """Episodes of the final evaluation, from start states that influenced no choice."""

    def check(self) -> None:
        """Raises UserError for values out of range."""
        at_least(self, 0, "eval_every")
        at_least(self, 1, "eval_episodes", "final_episodes")
