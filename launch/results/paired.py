"""Comparing policies on the same start states: the differences of their returns, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from esengine.errors import UserError, counted

_RESAMPLES = 2_000
_INTERVAL = (2.5, 97.5)  # percentiles


class Difference(NamedTuple):
    """How much a policy's return exceeds another's, start by start.

    Attributes:
        mean: of the differences.
        low, high: the ends of a 95 % interval of the mean, by the percentile bootstrap (Efron
            1979) over the starts.
        pairs: number of starts.
    """

    mean: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        return (
            f"{self.mean:+.4f}, 95 % interval {self.low:+.4f} to {self.high:+.4f}, over "
            f"{counted(self.pairs, 'common start')}"
        )


def difference(returns: ArrayLike, baseline: ArrayLike) -> Difference:
    """The difference of two policies' returns over the same starts.

    Args:
        returns, baseline: (num_episodes,) returns, in the order of the starts.

    Raises:
        UserError: there are not as many of both, since episodes failed.
    """
    ours, theirs = np.asarray(returns, np.float64), np.asarray(baseline, np.float64)
    if ours.shape != theirs.shape:
        raise UserError(
            f"policies must be compared over the same starts, got {ours.size} and {theirs.size} "
            f"episodes, since some failed; see their reasons with one policy at a time"
        )
    pairs = ours - theirs
    random = np.random.Generator(np.random.Philox(0))
    drawn = (random.integers(pairs.size, size=pairs.size) for _ in range(_RESAMPLES))
    low, high = np.percentile([pairs[each].mean() for each in drawn], _INTERVAL)
    return Difference(float(pairs.mean()), float(low), float(high), int(pairs.size))


class Returns(Protocol):
    """What is known of a policy's episodes."""

    @property
    def returns(self) -> tuple[float, ...]: ...

    @property
    def mean_return(self) -> float: ...

    @property
    def standard_error(self) -> float: ...


def table_of(evaluations: Mapping[str, Returns]) -> str:
    """A table of the mean returns of policies, and the difference of each from the first."""
    width = max(len("policy"), *map(len, evaluations))
    lines = [f"{'policy':<{width}}  mean return  standard error"]
    lines += [
        f"{name:<{width}}  {one.mean_return:11.4f}  {one.standard_error:14.4f}"
        for name, one in evaluations.items()
    ]
    (first, baseline), *others = evaluations.items()
    lines += [
        f"{name} - {first}: {difference(one.returns, baseline.returns)}" for name, one in others
    ]
    return "\n".join(lines)
