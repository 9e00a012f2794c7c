"""The step size that a search begins with, tried in a few episodes before the first generation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.step_sizes import StepSizeSettings
from esengine.algorithms.quality_diversity.settings import ArchiveSettings
from esengine.algorithms.saved_state import SavedState
from esengine.candidates import AntitheticPairs, Candidates, TrialPairs
from esengine.errors import Interrupted
from esengine.launch.settings.config import RunConfig
from esengine.pool import Pool
from esengine.problems import MEMBER, EnvironmentProblem

_MEMBERS = 40  # that a step size is judged by, at a start from a given policy
_HALVINGS = 12
_PAIRS = 10  # that a step size is judged by, at any other start
_FACTOR = 4.0  # between step sizes that are tried
_QUARTERS = 4  # step sizes that a method which adapts its own may begin with
_PAPERS = 3  # step sizes that a method which keeps its own may have


class StartingSigma(SavedState):
    """The trials of a run.

    Args:
        config: the run's settings.
        problem: of the pool.
        initial: (dimension,) the policy that the search starts from.

    Attributes:
        sigma: the strategy's initial step size, NaN until it is found.
    """

    saved = ("sigma",)

    def __init__(
        self, config: RunConfig, problem: EnvironmentProblem, initial: NDArray[np.floating]
    ) -> None:
        self._config = config
        self._problem = problem
        self._initial = np.array(initial, problem.dtype)
        self._seed = config.train.seed
        self.sigma = math.nan

    @staticmethod
    def is_needed(config: RunConfig) -> bool:
        """Whether a run tries step sizes: from a given policy, or if none is set. Not where the
        meaning of fitness changes with the generation.
        """
        train = config.train
        search: Any = config.search
        if isinstance(search, ArchiveSettings):
            return False
        if train.init_policy is not None:
            return True
        is_unset = isinstance(search, StepSizeSettings) and search.sigma is None
        is_steady = train.novelty == "none" and train.goals == "own"
        return is_unset and is_steady and getattr(search, "warm_start", None) is None

    def find(self, pool: Pool) -> tuple[int, int]:
        """Find the step size; returns the steps and episodes that this took.

        Raises:
            Interrupted: a signal; all is as before.
        """
        self._spent: list[NDArray[Any]] = []
        before = self._problem.state()
        try:
            given = self._config.train.init_policy is not None
            self.sigma = self._keeping_skill(pool) if given else self._gaining(pool)
        except Interrupted:
            self._problem.restore(before)
            raise

        records = np.concatenate(self._spent) if self._spent else np.zeros(0, MEMBER)
        return int(records["steps"].sum()), int(records["episodes"].sum())

    def _gaining(self, pool: Pool) -> float:
        """The step size by what the best fifth of the members gain on the start they began from.

        A method that adapts its step size begins with the widest of a few whose best fifth gains
        anything; the next one is a quarter of it. A method that keeps its step size takes its
        paper's, and four times as much as long as the gain does not fall.
        """
        settings: Any = self._config.search
        start = self._trial(pool, 0.0)
        gains: dict[float, float] = {}

        if settings.paper_sigma is None:
            for quarters in range(_QUARTERS):
                sigma = settings.usual_sigma / _FACTOR**quarters
                gains[sigma] = _gain(self._trial(pool, sigma), start)
                if gains[sigma] >= 0:
                    return float(sigma)
            return max(gains, key=lambda sigma: gains[sigma])

        found = settings.paper_sigma
        for times in range(_PAPERS):
            sigma = settings.paper_sigma * _FACTOR**times
            gains[sigma] = _gain(self._trial(pool, sigma), start)
            if gains[sigma] < gains[found]:
                break
            found = sigma
        return float(found)

    def _trial(self, pool: Pool, sigma: float) -> NDArray[np.float64]:
        """(2 * _PAIRS,) fitness of members around the start, NaN where one failed; both members of
        a pair meet one start, the same with every step size.

        The start itself acts first, so that observations are scaled by what it sees.
        """
        if sigma:
            pairs = TrialPairs(self._seed, 0, 2 * _PAIRS, sigma, self._initial)
            return self._evaluate(pool, pairs)["fitness"]

        alone = TrialPairs(self._seed, 0, _PAIRS, 0.0, self._initial, 1)
        if self._problem.observes:
            self._evaluate(pool, alone, merge=True)
        return np.repeat(self._evaluate(pool, alone)["fitness"], 2)

    def _keeping_skill(self, pool: Pool) -> float:
        """The largest step size, halving ``--sigma``, at which members keep ``--keep-skill`` of the
        given policy's skill.

        Skill is the mean return above that of members of a cold start, with ``--sigma``; all meet
        starts of the same kind.
        """
        train = self._config.train
        search: Any = self._config.search
        given = float(getattr(search, "first_sigma", getattr(search, "sigma", 0.0)))
        if not (train.keep_skill and given):
            return given

        centre = self._mean(pool, self._initial, 0.0)
        cold = self._mean(pool, self._problem.policy.initial_parameters(train.seed), given)
        sigma = given
        for halvings in range(_HALVINGS):
            sigma = given * 0.5**halvings
            if self._mean(pool, self._initial, sigma) - cold >= train.keep_skill * (centre - cold):
                break
        return sigma

    def _mean(self, pool: Pool, mean: NDArray[np.floating], sigma: float) -> float:
        """Mean fitness of members around ``mean``. Generation 0 makes their noise differ from that
        of the search, which counts from 1.
        """
        row = np.asarray(mean, self._problem.dtype)
        members = AntitheticPairs(self._seed, 0, _MEMBERS, sigma, row)
        return float(self._evaluate(pool, members)["fitness"].mean())

    def _evaluate(self, pool: Pool, members: Candidates, merge: bool = False) -> NDArray[Any]:
        """Records of members, which count as used."""
        records = pool.evaluate(members, merge=merge).records
        self._spent.append(records)
        return records


def _gain(members: NDArray[np.float64], start: NDArray[np.float64]) -> float:
    """What the best fifth of members gain on the start, each on the same start state."""
    gains = np.where(np.isfinite(members), members, -math.inf) - start
    gains = np.sort(gains[np.isfinite(start)])
    return float(gains[-max(1, gains.size // 5) :].mean()) if gains.size else -math.inf
