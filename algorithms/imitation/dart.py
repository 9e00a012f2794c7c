"""DART: add noise as large as the learner's errors to the expert's actions (Laskey et al. 2017,
arXiv 1703.09327).

The expert always acts, so demonstrations stay good, but the noise leads it to the states that the
learner's errors would lead to. The noise is estimated on states that the learner was not fitted to:
those of each new round, before it is learned from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.imitation.aggregation import Aggregation, AggregationSettings
from esengine.algorithms.imitation.learner import Learner
from esengine.checks import not_negative
from esengine.demonstrations.recording import Acting, Recorded
from esengine.environments.spaces import ActionSpec


@dataclass(frozen=True)
class DARTSettings(AggregationSettings):
    """Let the expert demonstrate with noise as large as the learner's errors."""

    final_error: float | None = None
    """Squared error per step that the learner is expected to end with, which scales the noise;
    default the current errors.
    """

    def check(self) -> None:
        super().check()
        not_negative(self, "final_error", way_out="leave it out to use the errors' own size")


class DART(Aggregation):
    """The method. The first round has noise only if demonstrations were learned from before it."""

    saved = (*Aggregation.saved, "_noise")
    settings: DARTSettings
    _noise: NDArray[np.float64] | None = None  # covariance, or confusion tables one after another

    def acting(self) -> Acting:
        if self._noise is None:
            return Acting(1.0)
        if self.problem.policy.action.kind == "box":
            return Acting(1.0, noise=square_root(self._noise))
        return Acting(1.0, confusion=self._noise)

    def learned(self, recorded: list[Recorded], learner: Learner | None) -> dict[str, float]:
        """Set the next round's noise from the errors of the learner on this round."""
        action = self.problem.policy.action
        if learner is None:
            return {"noise": 0.0}
        episodes = [one.trajectory for one in recorded]
        wanted = np.concatenate([one.targets[one.labelled] for one in episodes])
        done = np.concatenate(
            [learner.act(one.observations[:-1])[one.labelled] for one in episodes]
        )
        if action.kind == "box":
            self._noise = error_covariance(done, wanted, self.settings.final_error)
            return {"noise": float(math.sqrt(np.trace(self._noise)))}
        self._noise = confusion(action, done, wanted)
        return {"noise": float((done != wanted).any(axis=1).mean())}


def error_covariance(
    done: NDArray[np.float64], wanted: NDArray[np.float64], total: float | None = None
) -> NDArray[np.float64]:
    """Return Sigma = mean of (pi(s) - pi*(s)) (pi(s) - pi*(s))^T over states, (n, n), which is the
    paper's maximum likelihood estimate.

    Args:
        done, wanted: (num_states, n) actions of the learner and of the expert.
        total: trace to scale Sigma to, the paper's alpha / T, or None.
    """
    errors = done - wanted
    covariance: NDArray[np.float64] = errors.T @ errors / len(errors)
    trace = float(np.trace(covariance))
    return covariance if total is None or trace == 0 else covariance * (total / trace)


def confusion(
    action: ActionSpec, done: NDArray[np.float64], wanted: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return P(learner's option | expert's option) of every discrete choice, flattened row by row.

    One count is added where the two agree, so that options the expert never took get no noise.
    """
    tables = []
    pairs = zip(action.options(wanted).T, action.options(done).T, action.num_options, strict=True)
    for rows, columns, options in pairs:
        counts = np.eye(options)
        np.add.at(counts, (rows, columns), 1)
        tables.append((counts / counts.sum(axis=1, keepdims=True)).ravel())
    return np.concatenate(tables)


def square_root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the symmetric A with A A^T = covariance, which may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
