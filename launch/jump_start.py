"""Going on from a given policy: a step size at which its skill is kept, and the best policy so far, which it is at first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import AntitheticPairs, PolicyEpisodes
from esengine.launch.config import RunConfig
from esengine.pool import Pool
from esengine.problems import EnvironmentProblem

_MEMBERS = 40  # that a step size is judged by
_HALVINGS = 12


class JumpStart:
    """What a run that begins with ``--init-policy`` has beside its strategy.

    Args:
        config: the run's settings.
        problem: of the pool.
        initial: (dimension,) the policy.

    Attributes:
        sigma: the strategy's initial step size, once it is found, else None.
        best: (dimension,) the best policy so far, by evaluations on the same starts.
        best_return: its mean return there, None before the first evaluation.
    """

    def __init__(self, config: RunConfig, problem: EnvironmentProblem, initial: NDArray[np.floating]) -> None:
        self._config, self._problem, self._initial = config, problem, np.array(initial)
        self.sigma: float | None = None
        self.best = self._initial
        self.best_return: float | None = None

    def begin(self, pool: Pool) -> tuple[float, int, int]:
        """Find the step size: the largest, halving ``--sigma``, at which members keep ``--keep-skill`` of the policy's skill.

        Skill is the mean return above that of members of a cold start, with ``--sigma``; all meet starts of the same kind.

        Returns:
            The policy's mean return over evaluation episodes, and the steps and episodes that all this took.
        """
        train, given = self._config.train, float(getattr(self._config.search, "sigma", 0.0))
        episodes = PolicyEpisodes(train.seed, 0, train.eval_episodes, self._initial, "evaluation")
        policy_return = float(pool.evaluate(episodes).records["fitness"].mean())
        self.sigma = given
        if not (train.keep_skill and given):
            return policy_return, 0, 0
        centre = self._members(pool, self._initial, 0.0)
        cold = self._members(pool, self._problem.policy.initial_parameters(train.seed), given)
        spent = [centre, cold]
        for halvings in range(_HALVINGS):
            self.sigma = given * 0.5**halvings
            spent.append(self._members(pool, self._initial, self.sigma))
            reached = _mean(spent[-1]) - _mean(cold)
            if reached >= train.keep_skill * (_mean(centre) - _mean(cold)):
                break
        records = np.concatenate(spent)
        return policy_return, int(records["steps"].sum()), int(records["episodes"].sum())

    def strategy(self) -> Any:
        """A new strategy that starts from the policy with the step size that was found."""
        search: Any = self._config.search
        if self.sigma:
            search = replace(search, sigma=self.sigma)
        return search.strategy(self._initial, self._config.train.seed)

    def state(self) -> dict[str, NDArray[Any]]:
        """For a checkpoint: the step size, the best policy and its return; NaN stands for what is not known yet."""
        numbers = [np.nan if number is None else number for number in (self.sigma, self.best_return)]
        return {"best": self.best, "sigma_and_return": np.array(numbers)}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on from ``state``."""
        sigma, best_return = (None if np.isnan(number) else float(number) for number in state["sigma_and_return"])
        self.sigma, self.best, self.best_return = sigma, state["best"], best_return

    def judge(self, parameters: NDArray[np.floating], mean_return: float) -> None:
        """Keep the parameters if they are at least as good as the best so far."""
        if self.best_return is None or mean_return >= self.best_return:
            self.best, self.best_return = np.array(parameters), mean_return

    def _members(self, pool: Pool, mean: NDArray[np.floating], sigma: float) -> NDArray[Any]:
        """Records of members around ``mean``; the search's own generations count from 1, so this one is another's."""
        row = np.asarray(mean, self._problem.dtype)
        return pool.evaluate(AntitheticPairs(self._config.train.seed, 0, _MEMBERS, sigma, row), merge=False).records


def _mean(records: NDArray[Any]) -> float:
    return float(records["fitness"].mean())
