"""A curriculum of goals: train on goals that are sometimes reached (Florensa et al. 2018, arXiv
1705.06366).

The archive holds goals that were reached at some time and lie far apart. For each goal it counts
the successes of the members that aimed at it, with decreasing weight for older generations.
Training draws goals whose success rate lies in a band, since goals that are never or always reached
teach nothing. If few goals are in the band, hard and easy ones are mixed in. Among equally hard
goals, those near which episodes seldom end are preferred, because they lie at the border of the
known (Pong et al. 2020, "Skew-Fit", arXiv 1903.03698; Pitis et al. 2020, arXiv 2007.02832). The
paper generates goals by a GAN. Here they come from half-random episodes and from the members' own
episodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.saved_state import SavedState
from esengine.algorithms.strategy import State
from esengine.checks import at_least, within
from esengine.demonstrations.half_random import Wandering
from esengine.errors import UserError

_FORGET = 0.9  # factor on counts per generation
_ON_BAND = 0.8  # share of the goals in the band, once there are _ENOUGH
_ENOUGH = 8
# A new goal takes the place of one of the two closest goals if its distance from all goals exceeds
# this factor times the distance of these two. With 1.5 one of four seeds of the maze meander stayed
# before the last turn for 40 million steps; with 1.1 it needed fewer than 30 million.
_APART = 1.1
_SKEW = 2.0  # a goal's share is proportional to 1 / visits to this power, among equally hard goals


@dataclass(frozen=True)
class GoalSettings:
    """The settings of training in environments with goals."""

    goals: Literal["own", "curriculum"] = "own"
    """Aim at the environment's own goals, or mostly at easier goals that a curriculum chooses."""
    goal_archive: int = 256
    """Largest number of goals in the curriculum."""
    least_success: float = 0.3
    """Success rate above which a goal is worth training on."""
    most_success: float = 0.7
    """Success rate below which a goal is worth training on."""
    own_goals: float = 0.2
    """Share of the curriculum's episodes that aim at the environment's own goals."""
    wandering: Wandering = "sticky"
    """Half-random actions that find goals: drifting noise, repeated actions, or one coordinate at a
    bound for a while.
    """
    wandering_share: float = 0.3
    """Probability that an action of a half-random episode is random instead of the policy's."""
    wandering_episodes: int = 4
    """Number of episodes with half-random actions per generation."""
    hindsight: int = 0
    """Number of passes of supervised learning per generation over half-random episodes, with the
    goals that they reached in place of those that they missed; 0 turns it off.
    """
    hindsight_episodes: int = 100
    """Number of half-random episodes, the newest ones, that --hindsight learns from."""

    def check(self) -> None:
        """Raises UserError for settings that are no curriculum."""
        at_least(self, 1, "goal_archive", "wandering_episodes", "hindsight_episodes")
        at_least(self, 0, "hindsight", way_out="0 learns nothing from hindsight")
        within(self, 0, 1, "own_goals", "wandering_share")
        if not 0 <= self.least_success < self.most_success <= 1:
            raise UserError(
                "--least-success and --most-success must lie in this order between 0 and 1, "
                f"got {self.least_success} and {self.most_success}; 0.3 and 0.7 are the defaults"
            )


class Curriculum(SavedState):
    """The archive with the statistics of its goals.

    Args:
        settings: checked settings.
        goal_size: length of a goal.

    Attributes:
        goals: (goal_archive, goal_size); the first ``size`` rows are goals.
        size: number of goals in the archive.
        tally: (1 + goal_archive, 2) discounted episodes and successes, of the environment's own
            goals in the first row and then of each goal.
        visits: (goal_archive,) discounted count of the achieved goals whose nearest goal this is.
    """

    saved = ("goals", "size", "tally", "visits", "_last")

    def __init__(self, settings: GoalSettings, goal_size: int) -> None:
        self.settings = settings
        self.size = 0
        self.goals = np.zeros((settings.goal_archive, goal_size))
        self.tally = np.zeros((1 + settings.goal_archive, 2))
        self.visits = np.zeros(settings.goal_archive)
        self._last = np.zeros(2)  # episodes and successes of the last generation

    def success(self) -> NDArray[np.float64]:
        """Return the estimated success rates of the environment's own goals and of each goal,
        (1 + size,); 1/2 for goals without episodes.
        """
        episodes, successes = self.tally[: 1 + self.size].T
        return (successes + 0.5) / (episodes + 1)

    def shares(self) -> NDArray[np.float64]:
        """Return the probabilities of the environment's own goals and of each place of the archive,
        (1 + goal_archive,).

        The own goals have the share ``own_goals``, or their success rate if that is larger, so that
        they take over once they are learned.
        """
        settings = self.settings
        shares = np.zeros(len(self.tally))
        success = self.success()[1:]
        if not success.size or (success > settings.most_success).all():
            shares[0] = 1  # no easier goals, or none left to learn
            return shares

        # Goals in the band come first; the rest are as many hard as easy ones
        hard = success < settings.least_success
        easy = success > settings.most_success
        inside = ~(hard | easy)
        on_band = _ON_BAND * min(1.0, inside.sum() / _ENOUGH)
        outside = (1 - on_band) / 2

        # Within each group, goals that are seldom visited come first
        rarity = (1 + self.visits[: self.size]) ** -_SKEW
        weights = np.zeros(success.size)
        for group, weight in ((inside, on_band), (hard, outside), (easy, outside)):
            weights[group] = weight * rarity[group] / rarity[group].sum()

        shares[0] = max(settings.own_goals, self.tally[0, 1] / (1 + self.tally[0, 0]))
        shares[1 : 1 + self.size] = (1 - shares[0]) * weights / weights.sum()
        return shares

    def add(self, achieved: NDArray[np.float64]) -> None:
        """Add those achieved goals, (num_goals, goal_size), that lie far from all known goals.

        The farthest goal is added first, as in `planners.skills.farthest`. In a full archive it
        replaces one of the two goals that lie closest together, but only if it lies clearly farther
        from all others. So goals stay until their success rate is known.
        """
        if not len(achieved):
            return
        if not self.size:
            self.goals[0] = achieved[0]
            self.size = 1

        gaps = np.full((len(achieved), len(self.goals)), np.inf)
        gaps[:, : self.size] = _distances(achieved, self.goals[: self.size])
        while True:
            nearest = gaps.min(axis=1)
            far = int(nearest.argmax())
            place = self._place_for(nearest[far])
            if place is None:
                break
            self.goals[place] = achieved[far]
            self.tally[1 + place] = 0
            self.visits[place] = 0
            self.size = max(self.size, place + 1)
            gaps[:, place] = np.linalg.norm(achieved - achieved[far], axis=1)

        self.visits += np.bincount(gaps.argmin(axis=1), minlength=len(self.visits))

    def _place_for(self, apart: float) -> int | None:
        """Return the place for a goal at the distance ``apart`` from all known goals, or None."""
        if self.size < len(self.goals):
            return self.size if apart > 0 else None
        between = _distances(self.goals, self.goals)
        np.fill_diagonal(between, np.inf)
        one, other = np.unravel_index(int(between.argmin()), between.shape)
        if not apart > _APART * between[one, other]:
            return None

        # The one with more episodes stays
        return int(one if self.tally[1 + one, 0] < self.tally[1 + other, 0] else other)

    def tell(self, tally: NDArray[np.float64]) -> None:
        """Count a generation's episodes and successes, (1 + goal_archive, 2)."""
        self.tally = _FORGET * self.tally + tally
        self.visits = _FORGET * self.visits
        self._last = tally.sum(axis=0)

    def metrics(self) -> dict[str, float]:
        """Numbers for the generation's row."""
        settings = self.settings
        success = self.success()[1:]
        inside = (success >= settings.least_success) & (success <= settings.most_success)
        row = {"goals_known": float(self.size), "goals_in_band": float(inside.sum())}
        episodes, successes = self._last
        if episodes:
            row["success_train"] = float(successes / episodes)
        return row

    def restore(self, state: State) -> None:
        """Restore the archive of ``state``. Raises ValueError if it has another size."""
        super().restore(state)
        if not 0 <= self.size <= len(self.goals):
            raise ValueError(
                f"the archive must hold at most {len(self.goals)} goals, got {self.size}"
            )


def _distances(points: NDArray[np.float64], goals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance from each point to each goal, (num_points, num_goals)."""
    return np.linalg.norm(points[:, None] - goals, axis=2)
