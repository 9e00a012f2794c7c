"""How far a run is, by its rows of metrics alone: figures, time left, the next checkpoint."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from esengine.launch.settings.config import RunConfig

Row = dict[str, Any]

_WINDOW = 20  # rows that the pace is measured over
_HISTORY = 48  # values of the small curve


class Evaluated(NamedTuple):
    """What the policy reached in evaluation episodes, and when."""

    generation: int
    mean_return: float


class Progress:
    """What can be told of a run after the rows that have come.

    Args:
        config: the run's settings, with its budgets.

    Attributes:
        row: the newest row, or None before the first.
        evaluated: the newest evaluation, or None.
        best: the highest fitness of a member so far, or None.
        failed_members: those of all generations that were seen.
        history: the last values of what is searched for: evaluated returns if there are any, else
            the fitness.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.row: Row | None = None
        self.evaluated: Evaluated | None = None
        self.best: float | None = None
        self.failed_members = 0
        self._pace: deque[tuple[float, float, int]] = deque(
            maxlen=_WINDOW
        )  # elapsed_s, share of the budget, generation
        self._evaluations: deque[float] = deque(maxlen=_HISTORY)
        self._fitness: deque[float] = deque(maxlen=_HISTORY)

    def add(self, row: Row) -> None:
        """Take in the row of a generation."""
        self.row = row
        self.failed_members += row.get("failed_members", 0)
        best = row.get("fitness_max")
        if best is not None:
            self.best = best if self.best is None else max(self.best, best)
        mean = best if self.config.train.minimize else row.get("fitness_mean")
        if mean is not None:
            self._fitness.append(mean)
        if row.get("episode_return_eval") is not None:
            self.evaluated = Evaluated(row["generation"], row["episode_return_eval"])
            self._evaluations.append(row["episode_return_eval"])
        elapsed_s = row.get("machine", {}).get("elapsed_s")
        if elapsed_s is not None:
            self._pace.append((elapsed_s, self.share(), row["generation"]))

    @property
    def history(self) -> list[float]:
        return list(self._evaluations if len(self._evaluations) > 1 else self._fitness)

    @property
    def elapsed_s(self) -> float:
        """Seconds that the run had lasted at the newest row, earlier starts included."""
        return self._pace[-1][0] if self._pace else 0.0

    def share(self) -> float:
        """Of the budget that will be used up first, 0 .. 1."""
        if self.row is None:
            return 0.0
        train, row = self.config.train, self.row
        used: list[tuple[float, float | None]] = [
            (row["generation"], train.max_generations),
            (row.get("env_steps", 0), train.max_env_steps),
            (row.get("evaluations", 0), train.max_evaluations),
            (row.get("machine", {}).get("elapsed_s", 0.0), train.max_time),
        ]
        return min(1.0, max(amount / limit for amount, limit in used if limit))

    def left_s(self) -> float | None:
        """Seconds until the first budget is used up at the present pace, or None when there is no
        telling.

        The first generation says nothing of the pace, since what is compiled and loaded in it
        counts.
        """
        if len(self._pace) < 2:
            return None
        (before_s, share_before, _), (elapsed_s, share, _) = self._pace[0], self._pace[-1]
        return (
            (1 - share) * (elapsed_s - before_s) / (share - share_before)
            if share > share_before
            else None
        )

    def seconds_a_generation(self) -> float | None:
        """At the present pace, or None before the second row."""
        if len(self._pace) < 2:
            return None
        (before_s, _, generation_before), (elapsed_s, _, generation) = self._pace[0], self._pace[-1]
        return (
            (elapsed_s - before_s) / (generation - generation_before)
            if generation > generation_before
            else None
        )

    def next_checkpoint(self) -> int | None:
        """The generation that is saved next, or None if only the last one is."""
        every = self.config.train.checkpoint_every
        if not every:
            return None
        generation = self.row["generation"] if self.row is not None else 0
        return min((generation // every + 1) * every, self.config.train.max_generations)
