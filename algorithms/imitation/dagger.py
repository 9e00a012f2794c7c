"""DAgger: let the expert label the states that the learner visits (Ross, Gordon, Bagnell 2011,
arXiv 1011.0686).

In round i the expert acts with probability beta_i, and the learner otherwise. The expert labels
every visited state, and the learner is fitted to the states of all rounds. If labels are expensive,
only the states are labelled at which an ensemble of learners disagrees most (Menda,
Driggs-Campbell, Kochenderfer 2019, arXiv 1807.08364).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.imitation.aggregation import Aggregation, AggregationSettings
from esengine.algorithms.imitation.learner import Examples, Learner
from esengine.checks import at_least, within
from esengine.demonstrations.recording import Acting, Recorded
from esengine.demonstrations.trajectories import Transitions, transitions_of
from esengine.policies.network import check_memoryless
from esengine.seeding import derive_key, generator


@dataclass(frozen=True)
class DAggerSettings(AggregationSettings):
    """Let the learner act, and learn the expert's actions in the states that it visits."""

    mixing: Literal["first", "linear", "exponential"] = "first"
    """How the probability that the expert acts falls: from 1 in the first round to 0, linearly, or
    exponentially.
    """
    mixing_rounds: int = 15
    """Number of rounds until the expert stops acting, with linear mixing."""
    mixing_factor: float = 0.5
    """Factor on the probability per round, with exponential mixing."""
    mix_per: Literal["step", "episode"] = "step"
    """Whether to draw who acts for every step or for every episode."""
    label_fraction: float = 1.0
    """Fraction of the states to label: those at which an ensemble of learners disagrees most."""
    ensemble_size: int = 3
    """Number of learners in the ensemble, with --label-fraction below 1."""

    def check(self) -> None:
        super().check()
        at_least(self, 1, "mixing_rounds")
        within(self, 0, 1, "mixing_factor", ends="[)")
        within(self, 0, 1, "label_fraction", ends="(]", way_out="1 labels every state")
        at_least(self, 2, "ensemble_size")


class DAgger(Aggregation):
    """The method. Demonstrations replace the data of the first round: the learner then acts from
    the first round on.
    """

    saved = (*Aggregation.saved, "_threshold", "_ensemble")
    settings: DAggerSettings
    _ensemble: NDArray[np.float32] | None = None
    _threshold = 0.0

    def __init__(self, settings: DAggerSettings, *arguments: Any) -> None:
        super().__init__(settings, *arguments)
        if settings.label_fraction < 1:
            check_memoryless(self.problem.policy, "--label-fraction below 1")

    def acting(self) -> Acting:
        mixing = expert_share(self.settings, self.generation + (1 if self.num_given else 0))
        if self._ensemble is None:
            return Acting(mixing)
        return Acting(mixing, ensemble=self._ensemble, threshold=self._threshold)

    def learned(self, recorded: list[Recorded], learner: Learner | None) -> dict[str, float]:
        """Set the disagreement above which states are labelled in the next round.

        An expert that reads the environment's state can label only while the episode runs.
        Therefore the threshold of a round is the ensemble's quantile in the round before.
        """
        seen = np.concatenate([one.disagreements for one in recorded])
        if not seen.size:
            return {}
        self._threshold = float(np.quantile(seen, 1 - self.settings.label_fraction))
        labelled = np.concatenate([one.trajectory.labelled for one in recorded])
        return {"disagreement": float(seen.mean()), "label_share": float(labelled.mean())}

    def _learn(self) -> float:
        loss = super()._learn()
        if self.settings.label_fraction < 1:
            self._ensemble = self._fitted_ensemble()
        return loss

    def _fitted_ensemble(self) -> NDArray[np.float32]:
        """Return the parameters of new learners, (ensemble_size, num_parameters); each is fitted to
        a sample of the examples with replacement.
        """
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


def expert_share(settings: DAggerSettings, number: int) -> float:
    """Return beta_i, the probability that the expert acts, for ``number`` = i - 1."""
    match settings.mixing:
        case "first":
            return float(number == 0)
        case "linear":
            return max(0.0, 1 - number / settings.mixing_rounds)
    return math.pow(settings.mixing_factor, number)


def _rows(transitions: Transitions, rows: NDArray[np.int64]) -> Transitions:
    return Transitions(
        **{name: getattr(transitions, name)[rows] for name in transitions.__dataclass_fields__}
    )
