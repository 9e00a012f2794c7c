"""A curriculum of goals: train on those that are reached now and then (Florensa et al. 2018, arXiv 1705.06366).

The archive holds goals that were reached at some time, as far apart as its size allows. Of each the success of the members
that aimed at it is counted, older generations less and less, and goals whose success lies in the band are drawn: what is
never reached teaches nothing, and what is always reached neither. Where few are in the band, hard and easy ones are mixed. The
paper generates such goals by a GAN; here they are met by half-random episodes and by the members' own, which go on from where
the policy already leads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.strategy import State
from esengine.errors import UserError
from esengine.exploration import Wandering

_FORGET = 0.7  # factor on counts after a generation
_ON_BAND, _ENOUGH = 0.8, 8  # share of the goals in the band, once there are so many


@dataclass(frozen=True)
class GoalSettings:
    """What goals training aims at, where an environment has goals."""

    goals: Literal["own", "curriculum"] = "own"
    """Aim at the environment's own goals, or mostly at easier ones, which a curriculum chooses."""
    goal_archive: int = 64
    """Goals that the curriculum chooses from."""
    least_success: float = 0.3
    """Success above which a goal is worth training on."""
    most_success: float = 0.7
    """Success below which a goal is worth training on."""
    own_goals: float = 0.2
    """Share of the curriculum's episodes that aim at the environment's own goals."""
    wandering: Wandering = "sticky"
    """Half-random actions that find goals: drifting noise, repeated actions, or one coordinate at a bound for a while."""
    wandering_share: float = 0.3
    """Probability that an action of these episodes is random instead of the policy's."""
    wandering_episodes: int = 4
    """Episodes of half-random actions in a generation."""
    hindsight: int = 0
    """Passes of supervised learning a generation over these episodes, as if they had aimed at what they reached; 0 for none."""
    hindsight_episodes: int = 100
    """Newest episodes that it learns from."""

    def check(self) -> None:
        """Raises UserError for settings that are no curriculum."""
        for name in ("goal_archive", "wandering_episodes", "hindsight_episodes"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(self, name)}; use 1 or more")
        if self.hindsight < 0:
            raise UserError(f"--hindsight must be at least 0, got {self.hindsight}; 0 learns nothing from hindsight")
        for name in ("own_goals", "wandering_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"--{name.replace('_', '-')} must lie between 0 and 1, got {getattr(self, name)}")
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
        tally: (1 + goal_archive, 2) discounted episodes and successes of the environment's own goals, and of each goal.
    """

    def __init__(self, settings: GoalSettings, goal_size: int) -> None:
        self.settings, self.size = settings, 0
        self.goals = np.zeros((settings.goal_archive, goal_size))
        self.tally = np.zeros((1 + settings.goal_archive, 2))
        self._last = np.zeros(2)  # episodes and successes of the last generation

    def success(self) -> NDArray[np.float64]:
        """Estimated success at the own goals and at each goal of the archive, (1 + size,); one half where nothing is known."""
        episodes, successes = self.tally[: 1 + self.size].T
        estimate: NDArray[np.float64] = (successes + 0.5) / (episodes + 1)
        return estimate

    def shares(self) -> NDArray[np.float64]:
        """Probabilities of the environment's own goals and of each place of the archive, (1 + goal_archive,)."""
        shares, settings = np.zeros(len(self.tally)), self.settings
        success = self.success()[1:]
        if not success.size or (success > settings.most_success).all():
            shares[0] = 1  # there is nothing easier, or nothing easier left to learn
            return shares
        hard, easy = success < settings.least_success, success > settings.most_success
        inside = ~(hard | easy)
        on_band = _ON_BAND * min(1.0, inside.sum() / _ENOUGH)  # what is left keeps success in the middle: as many hard as easy
        weights = np.zeros(success.size)
        for group, weight in ((inside, on_band), (hard, (1 - on_band) / 2), (easy, (1 - on_band) / 2)):
            weights[group] = weight / max(1, group.sum())
        shares[0] = settings.own_goals
        shares[1 : 1 + self.size] = (1 - settings.own_goals) * weights / weights.sum()
        return shares

    def add(self, achieved: NDArray[np.float64]) -> None:
        """Take goals that were achieved, (num_goals, goal_size), and keep those of all that lie farthest apart."""
        if not len(achieved):
            return
        known = self.goals[: self.size]
        points = np.concatenate([known, achieved])
        kept = farthest(points, min(len(self.goals), len(points)))
        tally = np.zeros_like(self.tally)
        tally[0] = self.tally[0]
        old = kept < self.size
        tally[1 : 1 + len(kept)][old] = self.tally[1 + kept[old]]
        self.goals[: len(kept)], self.size, self.tally = points[kept], len(kept), tally

    def tell(self, tally: NDArray[np.float64]) -> None:
        """A generation's episodes and successes, (1 + goal_archive, 2)."""
        self.tally = _FORGET * self.tally + tally
        self._last = tally.sum(axis=0)

    def metrics(self) -> dict[str, float]:
        """Numbers for the generation's row."""
        success, settings = self.success()[1:], self.settings
        inside = (success >= settings.least_success) & (success <= settings.most_success)
        row = {"goals_known": float(self.size), "goals_in_band": float(inside.sum())}
        return row | ({"success_train": float(self._last[1] / self._last[0])} if self._last[0] else {})

    def state(self) -> State:
        return {"goals": self.goals, "size": np.array(self.size), "tally": self.tally, "last": self._last}

    def restore(self, state: State) -> None:
        """Go on with the archive of `state`. Raises ValueError if it is of another size."""
        self.goals, self.size = np.array(state["goals"]), int(state["size"])
        self.tally, self._last = state["tally"], state["last"]
        if not 0 <= self.size <= len(self.goals):
            raise ValueError(f"the archive must hold at most {len(self.goals)} goals, got {self.size}")


def farthest(points: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Indices of ``count`` points that lie far apart, in their order: each next one is farthest from those before it.

    The greedy solution of the k-center problem (Gonzalez 1985), from the first point on; points that occur twice are kept once.
    """
    chosen = [0]
    apart = np.linalg.norm(points - points[0], axis=1)
    while len(chosen) < count:
        index = int(np.argmax(apart))
        if apart[index] == 0:
            break
        chosen.append(index)
        apart = np.minimum(apart, np.linalg.norm(points - points[index], axis=1))
    return np.sort(np.array(chosen))
