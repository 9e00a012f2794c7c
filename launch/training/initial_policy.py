"""A start from a given policy: a step size that keeps its skill, and the best policy so far, which
is the given one at first.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.saved_state import SavedState
from esengine.candidates import AntitheticPairs
from esengine.launch.settings.config import RunConfig
from esengine.launch.training.metric_columns import episode_returns, mean_return
from esengine.launch.training.problem_from_settings import policy_episodes
from esengine.pool import Pool
from esengine.problems import EnvironmentProblem

_MEMBERS = 40  # that a step size is judged by
_HALVINGS = 12
_STANDARD_ERRORS = 2.0  # that a policy must gain on the best one


class JumpStart(SavedState):
    """What a run with ``--init-policy`` has besides its strategy.

    Args:
        config: the run's settings.
        problem: of the pool.
        initial: (dimension,) the policy.

    Attributes:
        sigma: the strategy's initial step size, NaN until it is found.
        best: (dimension,) the best policy so far, by evaluations on the same starts.
    """

    saved = ("best", "sigma", "_returns")

    def __init__(
        self, config: RunConfig, problem: EnvironmentProblem, initial: NDArray[np.floating]
    ) -> None:
        self._config = config
        self._problem = problem
        self._initial = np.array(initial)
        self.sigma = math.nan
        self.best = self._initial
        # of the best, by start; NaN is an episode that failed
        self._returns = np.full(config.train.eval_episodes, np.nan)

    @property
    def best_return(self) -> float | None:
        """Mean return of the best policy, None before the first evaluation."""
        return mean_return(self._returns)

    def begin(self, pool: Pool) -> tuple[NDArray[np.float64], int, int]:
        """Find the step size: the largest, halving ``--sigma``, at which members keep
        ``--keep-skill`` of the policy's skill.

        Skill is the mean return above that of members of a cold start, with ``--sigma``; all meet
        starts of the same kind.

        Returns:
            The policy's returns of the evaluation episodes, and the steps and episodes that all
            this took.
        """
        train = self._config.train
        given = float(getattr(self._config.search, "sigma", 0.0))
        episodes = policy_episodes(train, self._initial, train.eval_episodes, "evaluation")
        returns = episode_returns(pool.evaluate(episodes).records)
        self.sigma = given
        if not (train.keep_skill and given):
            return returns, 0, 0

        centre = self._members(pool, self._initial, 0.0)
        cold = self._members(pool, self._problem.policy.initial_parameters(train.seed), given)
        spent = [centre, cold]
        for halvings in range(_HALVINGS):
            self.sigma = given * 0.5**halvings
            spent.append(self._members(pool, self._initial, self.sigma))
            if (_mean(spent[-1]) - _mean(cold)) >= train.keep_skill * (_mean(centre) - _mean(cold)):
                break

        records = np.concatenate(spent)
        return returns, int(records["steps"].sum()), int(records["episodes"].sum())

    def renew(self, pool: Pool) -> None:
        """Evaluate the best policy again, since the environment is another."""
        if not math.isnan(self.sigma):
            train = self._config.train
            episodes = policy_episodes(train, self.best, train.eval_episodes, "evaluation")
            self._returns = episode_returns(pool.evaluate(episodes).records)

    def strategy(self) -> Any:
        """A new strategy that starts from the policy with the step size that was found."""
        search: Any = self._config.search
        if self.sigma > 0:
            search = replace(search, sigma=self.sigma)
        return search.strategy(self._initial, self._config.train.seed)

    def judge(self, parameters: NDArray[np.floating], returns: NDArray[np.float64]) -> None:
        """Keep the parameters if they are better than the best so far by two standard errors.

        Without the margin, a mean over a few starts would soon be higher by chance.

        Args:
            parameters: (dimension,) of the policy that was evaluated.
            returns: (eval_episodes,) its returns from the starts that all policies meet, NaN where
                the episode failed.
        """
        gained = returns - self._returns
        gained = gained[np.isfinite(gained)]
        error = gained.std(ddof=1) / math.sqrt(gained.size) if gained.size > 1 else 0.0
        if self.best_return is None or (gained.size and gained.mean() > _STANDARD_ERRORS * error):
            self.best = np.array(parameters)
            self._returns = returns

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
