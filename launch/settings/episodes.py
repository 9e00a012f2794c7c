"""Settings of the episodes that members run in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from esengine.checks import at_least, finite, within


@dataclass(frozen=True)
class EpisodeSettings:
    """The episodes that members run in training, and the fitness that they give."""

    episodes_per_member: int | None = None
    """Episodes of a member, or evaluations of an objective; default 4 in classic control, 1
    elsewhere.
    """
    member_statistic: Literal["mean", "min", "quantile"] = "mean"
    """Which statistic of the returns of these episodes is the member's fitness."""
    member_quantile: float = 0.5
    """Which quantile, with --member-statistic quantile."""
    survival_bonus: float = 0.0
    """Subtracted from the reward of every training step, for tasks that pay a bonus for staying
    alive.
    """
    episode_seeds: Literal["pair", "generation", "member"] = "pair"
    """Which members of a generation share start states: antithetic pairs, all of them, or none.
    """
    max_episode_steps: int | None = None
    """Cut episodes after this many steps."""
    rules: tuple[str, ...] = ()
    """Modules of corrective rules, with when(observation) and act(observation): they label
    demonstrations in imitation, and override the policy elsewhere.
    """
    episode_cap: int | None = None
    """Begin with training episodes of this many steps; the cap becomes twice the mean length once a
    tenth of the members reach it.
    """
    fresh_env: bool = False
    """Make a new environment for every episode, if reset does not clear all state."""
    env_backend: Literal["auto", "gymnasium", "compiled", "vectorized"] = "auto"
    """Step through gymnasium, in compiled code, or in the environment's own vector form; auto
    prefers compiled code.
    """

    def check(self) -> None:
        """Raises UserError for values out of range."""
        at_least(self, 1, "episodes_per_member", "max_episode_steps", "episode_cap")
        within(self, 0, 1, "member_quantile", way_out="0.5 is the median")
        finite(self, "survival_bonus")
