"""The progress of a run by its rows of metrics: numbers, time left, the next checkpoint."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from esengine.launch.runs.json_lines import Row
from esengine.launch.settings.config import RunConfig

_WINDOW = 20  # rows that the pace is measured over
_HISTORY = 48  # values of the small curve


class _Pace(NamedTuple):
    """How far a run was at a row: its seconds, the used share of its budget, its generation."""

    elapsed_s: float
    share: float
    generation: int


class Progress:
    """What the rows so far show of a run.

    Args:
        config: the run's settings, with its budgets.

    Attributes:
        row: the newest row, or None before the first.
        evaluated: the newest row with an evaluation, or None.
        best: the highest fitness of a member so far, or None.
        failed_members: their number in all rows.
        history: the last evaluated returns if there are several, else the last values of fitness.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.row: Row | None = None
        self.evaluated: Row | None = None
        self.best: float | None = None
        self.failed_members = 0
        self._pace: deque[_Pace] = deque(maxlen=_WINDOW)
        self._evaluations: deque[float] = deque(maxlen=_HISTORY)
        self._fitness: deque[float] = deque(maxlen=_HISTORY)

    def add(self, row: Row) -> None:
        """Add the row of a generation."""
        self.row = row
        self.failed_members += row.get("failed_members", 0)

        best = row.get("fitness_max")
        if best is not None:
            self.best = best if self.best is None else max(self.best, best)
        mean = best if self.config.train.minimize else row.get("fitness_mean")
        if mean is not None:
            self._fitness.append(mean)
        if row.get("episode_return_eval") is not None:
            self.evaluated = row
            self._evaluations.append(row["episode_return_eval"])

        elapsed_s = row.get("machine", {}).get("elapsed_s")
        if elapsed_s is not None:
            self._pace.append(_Pace(elapsed_s, self.share(), row["generation"]))

    @property
    def generation(self) -> int:
        """The newest row's generation; 0 before the first."""
        return 0 if self.row is None else int(self.row["generation"])

    @property
    def history(self) -> list[float]:
        return list(self._evaluations if len(self._evaluations) > 1 else self._fitness)

    @property
    def elapsed_s(self) -> float:
        """Seconds that the run had lasted at the newest row, earlier starts included."""
        return self._pace[-1].elapsed_s if self._pace else 0.0

    def share(self) -> float:
        """The used share, 0 to 1, of the budget that will be used up first."""
        row = self.row
        if row is None:
            return 0.0
        train = self.config.train
        used: list[tuple[float, float | None]] = [
            (row["generation"], train.max_generations),
            (row.get("env_steps", 0), train.max_env_steps),
            (row.get("evaluations", 0), train.max_evaluations),
            (row.get("machine", {}).get("elapsed_s", 0.0), train.max_time),
        ]
        return min(1.0, max(amount / limit for amount, limit in used if limit))

    def left_s(self) -> float | None:
        """Seconds until the first budget is used up at the present pace; None if it is unknown.

        The pace is unknown before the second row, since the first generation compiles and loads.
        """
        seconds = self._seconds_per("share")
        return None if seconds is None else (1 - self._pace[-1].share) * seconds

    def seconds_per_generation(self) -> float | None:
        """Seconds per generation at the present pace; None before the second row."""
        return self._seconds_per("generation")

    def _seconds_per(self, unit: str) -> float | None:
        """Seconds per unit of what the pace counts; None while that has not grown."""
        if not self._pace:
            return None
        grown = getattr(self._pace[-1], unit) - getattr(self._pace[0], unit)
        return (self._pace[-1].elapsed_s - self._pace[0].elapsed_s) / grown if grown > 0 else None

    def next_checkpoint(self) -> int | None:
        """The generation that is saved next; None if only the last one is."""
        every = self.config.train.checkpoint_every
        if not every:
            return None
        following = (self.generation // every + 1) * every
        last = self.config.train.max_generations
        return following if last is None else min(following, last)
