"""How alike a policy's episodes are to demonstrations: what a policy is chosen by where the
environment's own return must not decide.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.environments import ActionSpec
from esengine.problems import ArraySpec, EnvironmentEpisodes, EpisodeRunner
from esengine.rewards.network import LearnedReward, RewardSpec, Sees
from esengine.rewards.sampling import Steps
from esengine.simulators.traces import Episode, Trace, TraceBuffer

_REFERENCE_STEPS = 500
_EPISODE_STEPS = 200


class Likeness:
    """Minus the energy distance between the steps of an episode and those of the demonstrations
    (Szekely, Rizzo 2013, "Energy statistics: a class of statistics based on distances", JSPI).

    It is 0 for equal distributions of steps, and negative otherwise. The absorbing state counts as
    one step of an episode that ended: over the whole horizon, any early end would be alike to the
    expert's early end. Nothing is learned for it, so no policy was trained on it.

    Args:
        demonstrated: the expert's steps, whose reach scales all steps.
        action: what actions are.
        sees: what a step is beside its observation, see `network.Sees`.
    """

    def __init__(self, demonstrated: Steps, action: ActionSpec, sees: Sees = "actions") -> None:
        acted = demonstrated.at(np.flatnonzero(~demonstrated.absorbing))
        spec = RewardSpec(acted.observations.shape[1], action, sees=sees)
        beside = spec.beside(acted.choices, acted.next_observations)
        self._inputs = LearnedReward.initial(spec, 0, acted.observations, beside)

        # Steps at equal distances in weight stand for all
        sums = np.cumsum(acted.weights)
        places = (np.arange(_REFERENCE_STEPS) + 0.5) / _REFERENCE_STEPS * sums[-1]
        chosen = np.searchsorted(sums, places)
        scaled = self._scaled(acted.observations[chosen], beside[chosen])
        share = float(sums[-1] / (sums[-1] + demonstrated.absorbing.sum()))
        self._points, self._weights = self._with_end(scaled, share)
        self._spread = self._distance(self._points, self._weights, self._points, self._weights)

    def of(self, trace: Trace) -> float:
        """The likeness of an episode."""
        length = len(trace.choices)
        steps = np.unique(np.linspace(0, length - 1, _EPISODE_STEPS).astype(np.int64))
        beside = self._inputs.spec.beside(trace.choices[steps], trace.observations[steps + 1])
        acted = self._scaled(trace.observations[steps], beside)
        share = length / (length + trace.terminated)
        points, weights = self._with_end(acted, share)
        between = self._distance(points, weights, self._points, self._weights)
        within = self._distance(points, weights, points, weights)
        return within + self._spread - 2 * between

    def _scaled(
        self, observations: NDArray[np.float32], choices: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        rows = self._inputs.spec.inputs(observations, choices)
        scaled = (rows - self._inputs.input_mean) * self._inputs.input_inverse_std
        return np.asarray(scaled, np.float64)

    def _with_end(
        self, acted: NDArray[np.float64], share: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The points and the absorbing state, which is one point, with weights that add up to 1."""
        end = np.zeros((1, acted.shape[1]))
        end[0, -1] = 1
        weights = np.append(np.full(len(acted), share / len(acted)), 1 - share)
        return np.concatenate([acted, end]), weights

    @staticmethod
    def _distance(
        first: NDArray[np.float64],
        first_weights: NDArray[np.float64],
        second: NDArray[np.float64],
        second_weights: NDArray[np.float64],
    ) -> float:
        """The mean distance between two sets of points."""
        differences = first[:, None] - second[None]
        distances = np.sqrt((differences**2).sum(axis=2))
        return float(first_weights @ distances @ second_weights)


class ComparedEpisodes(EpisodeRunner):
    """The part of a problem that compares the episodes of evaluated policies with demonstrations.

    Args:
        likeness: compares.
        horizon: most steps of an episode.
    """

    name = "likeness"

    def __init__(self, likeness: Likeness, horizon: int) -> None:
        self._likeness = likeness
        self._horizon = horizon

    def attach(self, problem: EnvironmentEpisodes) -> None:
        super().attach(problem)
        num_choices = len(problem.policy.action.sizes)
        self._trace = TraceBuffer(self._horizon, problem.observations.dim, num_choices)
        self.begin_chunk()

    def array_specs(self, purpose: str) -> tuple[ArraySpec, ...]:
        return (ArraySpec("likeness"),)

    def runs(self, purpose: str) -> bool:
        return purpose in ("evaluation", "choice", "final")

    def begin_chunk(self) -> None:
        self._found: dict[int, float] = {}

    def run(
        self,
        candidates: Candidates,
        member: int,
        episode: int,
        seed: int,
        moments: NDArray[np.float64] | None,
    ) -> Episode:
        actor = self.problem.actor
        simulator = self.problem.simulator()
        outcome = simulator.run(actor, seed, moments, self._horizon, trace=self._trace)
        trace = self._trace.trace(outcome)
        self._found[member] = self._likeness.of(trace)
        return Episode(trace.episode_return, outcome.num_steps)

    def arrays(self, candidates: Candidates, first: int, num_members: int) -> dict[str, Any]:
        members = range(first, first + num_members)
        return {"likeness": [self._found.get(member, np.nan) for member in members]}
