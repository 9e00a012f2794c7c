"""The best policy of a run, by evaluations on the same starts. The first one is the policy that the
run starts from, so that no search ends below its start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.strategy import State
from esengine.problems.environment_episodes import Scaling

_STANDARD_ERRORS = 2.0  # that a policy must gain on the best one
_NONE = -1  # generation of the best policy before the first evaluation


class GivenPolicy(NamedTuple):
    """A policy at the end of a generation.

    Attributes:
        row: (dimension,) its parameters.
        scaling: of its observations; the parameters mean nothing under another scaling.
        generation: at whose end it was the method's policy; 0 is the start.
    """

    row: NDArray[np.floating]
    scaling: Scaling
    generation: int


class PolicyReturns(NamedTuple):
    """An evaluation of a policy.

    Attributes:
        returns: (num_episodes,) NaN where the episode failed.
        scores: (num_episodes,) what policies are chosen by: the returns or, where a reward is
            learned from an expert, the likeness to the demonstrations.
        env_steps: of all episodes.
    """

    returns: NDArray[np.float64]
    scores: NDArray[np.float64]
    env_steps: int

    @property
    def are_returns_scores(self) -> bool:
        """Whether policies are chosen by their returns."""
        return self.scores is self.returns


class BestPolicy:
    """The best policy so far.

    Args:
        first: the policy that the run starts from.
        num_episodes: episodes of an evaluation.
    """

    def __init__(self, first: GivenPolicy, num_episodes: int) -> None:
        self.first = first
        self.policy = first._replace(generation=_NONE)
        self._returns = np.full(num_episodes, np.nan)  # by start; NaN is an episode that failed

    @property
    def is_known(self) -> bool:
        """Whether a policy was evaluated."""
        return self.policy.generation != _NONE

    @property
    def mean_return(self) -> float | None:
        """Mean return of the best policy, None before the first evaluation that did not fail."""
        return None if np.isnan(self._returns).all() else float(np.nanmean(self._returns))

    def judge(self, policy: GivenPolicy, returns: NDArray[np.float64]) -> None:
        """Keep a policy if it is better than the best one so far by two standard errors.

        Without the margin, a mean over a few starts would soon be higher by chance.

        Args:
            policy: what was evaluated.
            returns: (num_episodes,) its returns from the starts that all policies meet, NaN where
                the episode failed.
        """
        gained = returns - self._returns
        gained = gained[np.isfinite(gained)]
        error = gained.std(ddof=1) / math.sqrt(gained.size) if gained.size > 1 else 0.0
        is_better = gained.size and gained.mean() > _STANDARD_ERRORS * error
        if self.mean_return is None or is_better:
            self.policy = policy
            self._returns = returns

    def renew(self, returns: NDArray[np.float64]) -> None:
        """Take other returns, (num_episodes,), of the best policy."""
        self._returns = returns

    def contenders(self, newest: GivenPolicy) -> list[GivenPolicy]:
        """The policies that a run may end with: the best one, the newest, and the first one."""
        found = {one.generation: one for one in (self.first, newest, self.policy)}
        return list(reversed(found.values()))

    def state(self) -> State:
        """For a checkpoint."""
        mean, inverse_std = self.policy.scaling
        return {
            "row": np.array(self.policy.row, np.float64),
            "observation_mean": mean,
            "observation_inverse_std": inverse_std,
            "generation": np.array(self.policy.generation),
            "returns": self._returns,
        }

    def restore(self, state: State) -> None:
        """Become the one that gave ``state``. Raises ValueError for one of another run."""
        for name, own in self.state().items():
            if state[name].shape != own.shape:
                raise ValueError(f"the best policy's {name} must have shape {own.shape}")
        scaling = (state["observation_mean"], state["observation_inverse_std"])
        self.policy = GivenPolicy(state["row"], scaling, int(state["generation"]))
        self._returns = state["returns"]


def best_of(returns: Sequence[NDArray[np.float64]]) -> int:
    """The index of the returns with the highest mean over the starts that none failed at, or over
    all that did not fail; ties go to the first.
    """
    whole = np.isfinite(returns).all(axis=0)
    common = [each[whole] if whole.any() else each[np.isfinite(each)] for each in returns]
    return int(np.argmax([each.mean() if each.size else -math.inf for each in common]))
