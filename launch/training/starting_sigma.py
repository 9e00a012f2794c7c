"""The step size of a start from a given policy: one that keeps the policy's skill."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.saved_state import SavedState
from esengine.candidates import AntitheticPairs
from esengine.launch.settings.config import RunConfig
from esengine.pool import Pool
from esengine.problems import EnvironmentProblem

_MEMBERS = 40  # that a step size is judged by
_HALVINGS = 12


class StartingSigma(SavedState):
    """What a run with ``--init-policy`` finds before its first generation.

    Args:
        config: the run's settings.
        problem: of the pool.
        initial: (dimension,) the policy.

    Attributes:
        sigma: the strategy's initial step size, NaN until it is found.
    """

    saved = ("sigma",)

    def __init__(
        self, config: RunConfig, problem: EnvironmentProblem, initial: NDArray[np.floating]
    ) -> None:
        self._config = config
        self._problem = problem
        self._initial = np.array(initial)
        self.sigma = math.nan

    def find(self, pool: Pool) -> tuple[int, int]:
        """Find the step size: the largest, halving ``--sigma``, at which members keep
        ``--keep-skill`` of the policy's skill.

        Skill is the mean return above that of members of a cold start, with ``--sigma``; all meet
        starts of the same kind.

        Returns:
            The steps and episodes that this took.
        """
        train = self._config.train
        given = float(getattr(self._config.search, "sigma", 0.0))
        if not (train.keep_skill and given):
            self.sigma = given
            return 0, 0

        centre = self._members(pool, self._initial, 0.0)
        cold = self._members(pool, self._problem.policy.initial_parameters(train.seed), given)
        spent = [centre, cold]
        found = given
        for halvings in range(_HALVINGS):
            found = given * 0.5**halvings
            spent.append(self._members(pool, self._initial, found))
            if (_mean(spent[-1]) - _mean(cold)) >= train.keep_skill * (_mean(centre) - _mean(cold)):
                break

        self.sigma = found
        records = np.concatenate(spent)
        return int(records["steps"].sum()), int(records["episodes"].sum())

    def strategy(self) -> Any:
        """A new strategy that starts from the policy with the step size that was found."""
        config = self._config
        if self.sigma > 0:
            config = config.with_search(sigma=self.sigma)
        return config.strategy(self._initial)

    def _members(self, pool: Pool, mean: NDArray[np.floating], sigma: float) -> NDArray[Any]:
        """Records of members around ``mean``. Generation 0 makes their noise differ from that of
        the search, which counts from 1.
        """
        row = np.asarray(mean, self._problem.dtype)
        return pool.evaluate(
            AntitheticPairs(self._config.train.seed, 0, _MEMBERS, sigma, row), merge=False
        ).records


def _mean(records: NDArray[Any]) -> float:
    return float(records["fitness"].mean())
