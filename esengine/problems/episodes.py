"""The episodes of a member: on which seeds they run, and how their returns become its fitness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.seeding import derive_key, derive_seeds

EpisodeSeeds = Literal["pair", "generation", "member"]
MemberStatistic = Literal["mean", "min", "quantile"]


@dataclass(frozen=True)
class Summary:
    """How the returns of a member's episodes become its fitness."""

    statistic: MemberStatistic = "mean"
    quantile: float = 0.5

    def __call__(self, returns: NDArray[np.float64]) -> NDArray[np.float64]:
        """(num_members,) from (num_members, num_episodes)."""
        match self.statistic:
            case "mean":
                return returns.mean(axis=1)
            case "min":
                return returns.min(axis=1)
        return np.quantile(returns, self.quantile, axis=1)


def episode_seeds(
    candidates: Candidates,
    members: NDArray[np.int64],
    num_episodes: int,
    how: EpisodeSeeds,
    antithetic: bool,
) -> NDArray[np.uint64]:
    """Seeds of the members' episodes, (num_members, num_episodes).

    Members of one group meet the same starts; those that are evaluated again share theirs, to be
    comparable.
    """
    key = np.uint64(derive_key(candidates.seed, candidates.episode_purpose, candidates.generation))
    groups = 1 + members
    if candidates.episode_purpose != "episode":
        groups = members
    elif candidates.members_per_start:
        groups = 1 + members // candidates.members_per_start
    elif candidates.num_episodes(int(members[0])) is not None:
        groups = np.zeros_like(members)
    elif how == "generation":
        groups = np.ones_like(members)
    elif how == "pair" and antithetic:
        groups = 1 + members // 2
    return derive_seeds(key, groups, num_episodes)


class EpisodeRules(NamedTuple):
    """When episodes end, and what is taken off for each of their steps."""

    max_steps: int | None
    bonus: float


class MemberRun(NamedTuple):
    """A member's episodes: returns (num_episodes,), steps of all, and its row of each array by
    name.
    """

    returns: NDArray[np.float64]
    steps: int
    arrays: dict[str, Any]

    @classmethod
    def failed(cls, num_episodes: int) -> MemberRun:
        """The run of a member with an episode that failed."""
        return cls(np.full(num_episodes, np.nan), 0, {})
