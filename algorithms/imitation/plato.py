"""PLATO: policy learning with an adaptive trajectory optimiser (Kahn, Zhang, Levine, Abbeel 2017,
arXiv 1603.00622).

The teacher is a planner. While it acts, the cost of its first control includes the divergence from
the learner. So it visits the states that the learner would visit, but avoids failures. Its labels
are those of the plan without that cost, and the learner is fitted to the states of all rounds. The
learner never acts.

The divergence of two normal distributions with equal covariance is half the squared distance of
their means. The paper's lambda is --attraction, with half the range of every control as standard
deviation.
"""

from __future__ import annotations

from dataclasses import dataclass

from esengine.algorithms.imitation.aggregation import Aggregation, AggregationSettings
from esengine.checks import positive
from esengine.demonstrations.recording import Acting


@dataclass(frozen=True)
class PLATOSettings(AggregationSettings):
    """Let a planner act similarly to the learner, and learn its actions in the states it visits."""

    attraction: float = 10.0
    """Weight of the divergence from the learner: to avoid a difference of half the action's range,
    the planner accepts a return that is lower by half this weight.
    """

    def check(self) -> None:
        super().check()
        positive(self, "attraction")


class PLATO(Aggregation):
    """The method. In the first round the planner acts freely, unless a learner was fitted to
    demonstrations before it.
    """

    settings: PLATOSettings

    def acting(self) -> Acting:
        return Acting(1.0, attraction=0.0 if self._learner is None else self.settings.attraction)
