"""The training loop of methods that learn in rounds of their own."""

from __future__ import annotations

import time

from esengine.algorithms.strategy import RoundMethod
from esengine.launch.training.loop import Training
from esengine.launch.training.metric_columns import round_row


class RoundTraining(Training):
    """The loop over rounds: each evaluates what the method asks for, and learns from it."""

    method: RoundMethod

    def advance(self) -> None:
        self.pool.check_stop()  # a round without an evaluation would not look
        began = time.monotonic()
        steps, episodes = self.method.step(self.pool, self._finished)
        self._finished = {}

        seconds = time.monotonic() - began
        parts = self.method.seconds
        self._watch.add("update", seconds - sum(parts.values()))  # the rest is learning
        for part, of_part in parts.items():
            self._watch.add(part, of_part)
        self.count(steps, episodes)
        rate = steps / (time.monotonic() - began)
        self.row = round_row(self.method, self.counters, self.pool, rate)
