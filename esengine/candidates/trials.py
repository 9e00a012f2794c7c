"""Members that try a step size before a search."""

from __future__ import annotations

from dataclasses import dataclass

from esengine.candidates.pairs import AntitheticPairs


@dataclass(frozen=True)
class TrialPairs(AntitheticPairs):
    """Antithetic pairs with one episode a member.

    Attributes:
        sharing: how many members in a row share a start, whichever members of a search share
            theirs.
    """

    sharing: int = 2

    @property
    def members_per_start(self) -> int:
        return self.sharing

    def num_episodes(self, member: int) -> int | None:
        return 1
