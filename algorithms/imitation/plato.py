"""PLATO: policy learning with an adaptive trajectory optimiser (Kahn, Zhang, Levine, Abbeel 2017,
arXiv 1603.00622).

The teacher is a planner. While it acts, the cost of its first control includes the divergence from
the learner, so it visits the states that the learner would come to, where it can still see to it
that nothing goes wrong. Its labels are those of the plan without that cost, and the learner is
fitted to the states of all rounds. The learner never acts.

The divergence of two normal distributions of one covariance is half the squared distance of their
means; the paper's lambda is
--attraction, with half the range of every control as standard deviation.
"""

from __future__ import annotations

from dataclasses import dataclass

from esengine.algorithms.imitation.aggregation import Aggregation, AggregationSettings
from esengine.checks import positive
from esengine.demonstrations.recording import Acting


@dataclass(frozen=True)
class PLATOSettings(AggregationSettings):
    """Let a planner act nearly as the learner would, and label what it meets there."""

    attraction: float = 10.0
    """Weight of the divergence from the learner; half of it is the return given up where they
    differ by half the range.
    """

    def check(self) -> None:
        super().check()
        positive(self, "attraction")


class PLATO(Aggregation):
    """The rounds. In the first there is no learner yet, unless there were demonstrations, and the
    planner acts for itself.
    """

    settings: PLATOSettings

    def acting(self) -> Acting:
        return Acting(1.0, attraction=0.0 if self._learner is None else self.settings.attraction)
