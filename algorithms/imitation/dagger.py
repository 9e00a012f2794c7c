"""DAgger: go back to the expert off-course (Ross, Gordon, Bagnell 2011, arXiv 1011.0686).

In round i the expert acts with probability beta_i and the learner otherwise; the expert labels
every state that is visited, and the learner is fitted to the states of all rounds. Where labels are
dear, an ensemble of learners decides which states are worth one: those at which it disagrees most
(Menda, Driggs-Campbell, Kochenderfer 2019, arXiv 1807.08364).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.imitation.aggregation import Aggregation, AggregationSettings
from esengine.algorithms.imitation.behavior_cloning import Examples, Learner
from esengine.algorithms.strategy import State
from esengine.checks import at_least, within
from esengine.demonstrations.recording import Acting, Recorded
from esengine.demonstrations.trajectories import Transitions, transitions_of
from esengine.seeding import derive_key, generator


@dataclass(frozen=True)
class DAggerSettings(AggregationSettings):
    """Let the learner act, and ask the expert what was right in the states it came to."""

    mixing: Literal["first", "linear", "exponential"] = "first"
    """How often the expert acts: in the first round alone, less and less linearly, or by a factor a
    round.
    """
    mixing_rounds: int = 15
    """Rounds until the expert acts no more, with linear mixing."""
    mixing_factor: float = 0.5
    """Factor a round, with exponential mixing."""
    mix_per: Literal["step", "episode"] = "step"
    """Whether the expert and the learner take turns by step or by episode."""
    label_fraction: float = 1.0
    """Fraction of the states that the expert is asked about, those at which an ensemble of learners
    disagrees most.
    """
    ensemble_size: int = 3
    """Learners in the ensemble, with --label-fraction below 1."""

    def check(self) -> None:
        super().check()
        at_least(self, 1, "mixing_rounds")
        within(self, 0, 1, "mixing_factor", ends="[)")
        within(self, 0, 1, "label_fraction", ends="(]", way_out="1 labels every state")
        at_least(self, 2, "ensemble_size")


class DAgger(Aggregation):
    """The rounds. With demonstrations these are the first round's data, and the learner acts from
    the first round on.
    """

    settings: DAggerSettings
    _ensemble: NDArray[np.float32] | None = None
    _threshold = 0.0

    def acting(self) -> Acting:
        mixing = expert_share(self.settings, self.generation + (1 if self.num_given else 0))
        if self._ensemble is None:
            return Acting(mixing)
        return Acting(mixing, ensemble=self._ensemble, threshold=self._threshold)

    def learned(self, recorded: list[Recorded], learner: Learner | None) -> dict[str, float]:
        """Set the disagreement above which the next round's states are labelled.

        An expert that reads the environment's state can label only while the episode runs.
        Therefore the threshold of a round is the ensemble's quantile in the round before.
        """
        seen = np.concatenate([one.disagreements for one in recorded])
        if not seen.size:
            return {}
        self._threshold = float(np.quantile(seen, 1 - self.settings.label_fraction))
        return {"disagreement": float(seen.mean()), "label_share": _labelled(recorded)}

    def _learn(self) -> float:
        loss = super()._learn()
        if self.settings.label_fraction < 1:
            self._ensemble = self._fitted_ensemble()
        return loss

    def _fitted_ensemble(self) -> NDArray[np.float32]:
        """New learners, each fitted to a sample of the examples with replacement."""
        transitions = transitions_of(self.trajectories, self.settings.every, self.seed)
        rows = []
        for stream in range(1, 1 + self.settings.ensemble_size):
            learner = self.learner(stream)
            random = generator(derive_key(self.seed, "bootstrap", self.generation), stream)
            drawn = random.integers(len(transitions), size=len(transitions))
            examples = Examples.of(learner.spec, _rows(transitions, drawn))
            learner.fit(examples, self.settings.epochs_per_round)
            rows.append(learner.parameters())
        return np.array(rows)

    def state(self) -> State:
        state = super().state() | {"threshold": np.array(self._threshold)}
        return state if self._ensemble is None else state | {"ensemble": self._ensemble}

    def restore(self, state: State) -> None:
        super().restore(state)
        self._threshold, self._ensemble = float(state["threshold"]), state.get("ensemble")


def expert_share(settings: DAggerSettings, number: int) -> float:
    """beta_i for round ``number`` = i - 1, counted from 0: the share of the acting that is the
    expert's.
    """
    match settings.mixing:
        case "first":
            return float(number == 0)
        case "linear":
            return max(0.0, 1 - number / settings.mixing_rounds)
    return math.pow(settings.mixing_factor, number)


def _labelled(recorded: list[Recorded]) -> float:
    return float(np.concatenate([one.trajectory.labelled for one in recorded]).mean())


def _rows(transitions: Transitions, rows: NDArray[np.int64]) -> Transitions:
    return Transitions(
        **{name: getattr(transitions, name)[rows] for name in transitions.__dataclass_fields__}
    )
