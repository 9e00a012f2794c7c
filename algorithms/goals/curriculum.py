"""A curriculum of goals: train on those that are reached now and then (Florensa et al. 2018, arXiv
1705.06366).

The archive holds goals that were reached at some time, far apart from each other. Of each the
success of the members that aimed at it is counted, older generations less and less, and goals whose
success lies in the band are drawn: what is never reached teaches nothing, and what is always
reached neither. Where few are in the band, hard and easy ones are mixed. Among equals, those come
first near which episodes seldom are, which lie where the known ends (Pong et al. 2020, "Skew-Fit",
arXiv 1903.03698; Pitis et al. 2020, arXiv 2007.02832). The paper generates goals by a GAN; here
they are met by half-random episodes and by the members' own, which go on from where the policy
already leads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.strategy import State
from esengine.checks import at_least, within
from esengine.demonstrations.half_random import Wandering
from esengine.errors import UserError

_FORGET = 0.9  # factor on counts after a generation
_ON_BAND, _ENOUGH = 0.8, 8  # share of the goals in the band, once there are so many
# A new goal takes the place of one of the two closest goals if its distance from all goals exceeds
# this factor times the distance of these two. With 1.5 one of four seeds of the maze meander stayed
# before the last turn for 40 million steps; with 1.1 it needed fewer than 30 million.
_APART = 1.1
# power of one over a goal's visits that its share is proportional to, among goals that are as hard
_SKEW = 2.0


@dataclass(frozen=True)
class GoalSettings:
    """What goals training aims at, where an environment has goals."""

    goals: Literal["own", "curriculum"] = "own"
    """Aim at the environment's own goals, or mostly at easier ones, which a curriculum chooses."""
    goal_archive: int = 256
    """Goals that the curriculum chooses from."""
    least_success: float = 0.3
    """Success above which a goal is worth training on."""
    most_success: float = 0.7
    """Success below which a goal is worth training on."""
    own_goals: float = 0.2
    """Share of the curriculum's episodes that aim at the environment's own goals."""
    wandering: Wandering = "sticky"
    """Half-random actions that find goals: drifting noise, repeated actions, or one coordinate at a
    bound for a while.
    """
    wandering_share: float = 0.3
    """Probability that an action of these episodes is random instead of the policy's."""
    wandering_episodes: int = 4
    """Episodes of half-random actions in a generation."""
    hindsight: int = 0
    """Passes of supervised learning a generation over these episodes, as if they had aimed at what
    they reached; 0 for none.
    """
    hindsight_episodes: int = 100
    """Newest episodes that it learns from."""

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


class Curriculum:
    """The archive and what is known of its goals.

    Args:
        settings: checked settings.
        goal_size: numbers of a goal.

    Attributes:
        goals: (goal_archive, goal_size); the first ``size`` of them are goals.
        size: goals in the archive.
        tally: (1 + goal_archive, 2) discounted episodes and successes of the environment's own
            goals, and of each goal.
        visits: (goal_archive,) discounted count of the achieved goals to which each goal is the
            nearest.
    """

    def __init__(self, settings: GoalSettings, goal_size: int) -> None:
        self.settings, self.size = settings, 0
        self.goals = np.zeros((settings.goal_archive, goal_size))
        self.tally = np.zeros((1 + settings.goal_archive, 2))
        self.visits = np.zeros(settings.goal_archive)
        self._last = np.zeros(2)  # episodes and successes of the last generation

    def success(self) -> NDArray[np.float64]:
        """Estimated success at the own goals and at each goal of the archive, (1 + size,); one half
        where nothing is known.
        """
        episodes, successes = self.tally[: 1 + self.size].T
        estimate: NDArray[np.float64] = (successes + 0.5) / (episodes + 1)
        return estimate

    def shares(self) -> NDArray[np.float64]:
        """Probabilities of the environment's own goals and of each place of the archive, (1 +
        goal_archive,).

        The own goals have their share or, once that is larger, as much as they have success:
        learned, they take over.
        """
        shares, settings = np.zeros(len(self.tally)), self.settings
        success = self.success()[1:]
        if not success.size or (success > settings.most_success).all():
            shares[0] = 1  # there is nothing easier, or nothing easier left to learn
            return shares
        hard, easy = success < settings.least_success, success > settings.most_success
        inside = ~(hard | easy)
        on_band = _ON_BAND * min(
            1.0, inside.sum() / _ENOUGH
        )  # what is left keeps success in the middle: as many hard as easy
        rarity, weights = (1 + self.visits[: self.size]) ** -_SKEW, np.zeros(success.size)
        for group, weight in (
            (inside, on_band),
            (hard, (1 - on_band) / 2),
            (easy, (1 - on_band) / 2),
        ):
            weights[group] = weight * rarity[group] / rarity[group].sum()
        shares[0] = max(settings.own_goals, self.tally[0, 1] / (1 + self.tally[0, 0]))
        shares[1 : 1 + self.size] = (1 - shares[0]) * weights / weights.sum()
        return shares

    def add(self, achieved: NDArray[np.float64]) -> None:
        """Take of the goals that were achieved, (num_goals, goal_size), those that lie far from all
        that are known.

        Each time the farthest comes first, as in `farthest`. Into a full archive it comes in the
        place of one of the two goals that lie closest together, and only if it lies farther from
        all by so much that goals stay until their success is known.
        """
        if not len(achieved):
            return
        if not self.size:
            self.goals[0], self.size = achieved[0], 1
        gaps = np.full((len(achieved), len(self.goals)), np.inf)
        gaps[:, : self.size] = _distances(achieved, self.goals[: self.size])
        while True:
            nearest = gaps.min(axis=1)
            far = int(nearest.argmax())
            place = self._place_for(nearest[far])
            if place is None:
                break
            self.goals[place], self.tally[1 + place], self.visits[place] = achieved[far], 0, 0
            self.size = max(self.size, place + 1)
            gaps[:, place] = np.linalg.norm(achieved - achieved[far], axis=1)
        self.visits += np.bincount(gaps.argmin(axis=1), minlength=len(self.visits))

    def _place_for(self, apart: float) -> int | None:
        """The place of the archive that a goal gets which lies so far from all known ones, or
        None.
        """
        if self.size < len(self.goals):
            return self.size if apart > 0 else None
        between = _distances(self.goals, self.goals)
        np.fill_diagonal(between, np.inf)
        one, other = np.unravel_index(int(between.argmin()), between.shape)
        if not apart > _APART * between[one, other]:
            return None
        return int(
            one if self.tally[1 + one, 0] < self.tally[1 + other, 0] else other
        )  # more is known of the one that stays

    def tell(self, tally: NDArray[np.float64]) -> None:
        """A generation's episodes and successes, (1 + goal_archive, 2)."""
        self.tally, self.visits = _FORGET * self.tally + tally, _FORGET * self.visits
        self._last = tally.sum(axis=0)

    def metrics(self) -> dict[str, float]:
        """Numbers for the generation's row."""
        success, settings = self.success()[1:], self.settings
        inside = (success >= settings.least_success) & (success <= settings.most_success)
        row = {"goals_known": float(self.size), "goals_in_band": float(inside.sum())}
        return row | (
            {"success_train": float(self._last[1] / self._last[0])} if self._last[0] else {}
        )

    def state(self) -> State:
        arrays = {
            "goals": self.goals,
            "tally": self.tally,
            "visits": self.visits,
            "last": self._last,
        }
        return arrays | {"size": np.array(self.size)}

    def restore(self, state: State) -> None:
        """Go on with the archive of `state`. Raises ValueError if it is of another size."""
        self.goals, self.size = np.array(state["goals"]), int(state["size"])
        self.tally, self.visits, self._last = (
            np.array(state["tally"]),
            np.array(state["visits"]),
            state["last"],
        )
        if not 0 <= self.size <= len(self.goals):
            raise ValueError(
                f"the archive must hold at most {len(self.goals)} goals, got {self.size}"
            )


def _distances(points: NDArray[np.float64], goals: NDArray[np.float64]) -> NDArray[np.float64]:
    """From each point to each goal, (num_points, num_goals)."""
    distances: NDArray[np.float64] = np.linalg.norm(points[:, None] - goals, axis=2)
    return distances
