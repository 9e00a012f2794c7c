"""The parts that an `EnvironmentProblem` can be composed of.

A part adds arrays to what the ranks are sent and to what a chunk returns, and may run episodes in
its own way. Packages above this one provide them: `demonstrations.recording.Recorder`,
`rewards.episodes.RewardedEpisodes`, `goals.episodes.GoalEpisodes`,
`planning.candidates.PlanCandidates`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.problems.chunk_arrays import ArraySpec
from esengine.problems.contract import Evaluated
from esengine.problems.environment_episodes import EnvironmentEpisodes
from esengine.simulators.traces import Episode


class ProblemPart:
    """A part of a problem. By default it adds nothing.

    Attributes:
        name: begins the names of its arrays in the problem's context.
        problem: whose part it is, once `attach` was called.
    """

    name: ClassVar[str]
    problem: EnvironmentEpisodes

    def attach(self, problem: EnvironmentEpisodes) -> None:
        """Become a part of a problem."""
        self.problem = problem

    def array_specs(self, purpose: str) -> tuple[ArraySpec, ...]:
        """The arrays that a chunk returns for this part."""
        return ()

    def context(self) -> Mapping[str, NDArray[Any]]:
        """Arrays that workers need for this part."""
        return {}

    def set_context(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Use the arrays of `context`."""

    def merge(self, arrays: Mapping[str, Any]) -> None:
        """Take from what a population returned what this part keeps."""

    def recorded_env(self) -> gymnasium.Env[Any, Any] | None:
        """The environment that recorded episodes run in, or None for a plain one."""
        return None


class Evaluator(ProblemPart):
    """A part that evaluates candidates alone, such as recorded episodes: those whose purpose begins
    with its own.
    """

    purpose: ClassVar[str]

    def evaluate(self, candidates: Candidates, first: int, rows: NDArray[np.floating]) -> Evaluated:
        """See `Problem.evaluate`."""
        raise NotImplementedError


class EpisodeRunner(ProblemPart):
    """A part that runs the episodes of members one by one, in place of the problem's simulator."""

    def runs(self, purpose: str) -> bool:
        """Whether it runs the episodes of candidates of a purpose."""
        raise NotImplementedError

    def begin_chunk(self) -> None:
        """Forget what the last chunk returned."""

    def run(
        self,
        candidates: Candidates,
        member: int,
        episode: int,
        seed: int,
        moments: NDArray[np.float64] | None,
    ) -> Episode:
        """Run an episode of a member, whose parameters the problem's actor has; its return is what
        counts as the member's.
        """
        raise NotImplementedError

    def end_member(self, succeeded: bool) -> None:
        """The episodes of a member are over; unless it failed, count them."""

    def arrays(self, candidates: Candidates, first: int, num_members: int) -> dict[str, Any]:
        """What the chunk returns, see `array_specs`."""
        return {}
