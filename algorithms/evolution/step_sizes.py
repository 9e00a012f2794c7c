"""The first step size of a search, which depends on what is searched.

Parameters of an objective have units that nobody knows, and a search begins wide. A policy that
keeps a robot on its feet falls if its parameters change by as much. In environments a step size is
therefore tried before the search, see `esengine.launch.training.starting_sigma`: from a wide one
down by methods that adapt it, and from the paper's up by methods that keep it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from esengine.checks import positive


@dataclass(frozen=True)
class StepSizeSettings:
    """The first standard deviation.

    Attributes:
        usual_sigma: the default in objectives.
        paper_sigma: of policies in the method's paper, for methods that keep sigma as it is; None
            for methods that adapt it.
    """

    usual_sigma: ClassVar[float] = 1.0
    paper_sigma: ClassVar[float | None] = None

    sigma: float | None = None
    """Initial standard deviation of every parameter; default 1. In environments the default is
    found before the search: a quarter of it, again and again, until the best fifth of the members
    exceed the start.
    """

    @property
    def first_sigma(self) -> float:
        """The standard deviation that a search of these settings begins with."""
        return self.usual_sigma if self.sigma is None else self.sigma

    def check(self) -> None:
        """Raises UserError for a standard deviation that is none."""
        positive(self, "sigma")
