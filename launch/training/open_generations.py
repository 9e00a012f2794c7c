"""The generations that are drawn and not told yet.

With ``--lag d`` generation g is drawn from the state after generation g - 1 - d, always. So 1 + d
of them are open at once, and workers that have no more members of one evaluate the next. What is
computed depends on the generation's number alone, and never on time.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from esengine.algorithms.saved_state import with_prefix, without_prefix
from esengine.algorithms.strategy import State, Strategy
from esengine.candidates import KINDS, Candidates
from esengine.pool import Pool, Submitted
from esengine.storage.files import parse_json

_CONTEXT, _FINISHED = "context/", "finished/"


class OpenGenerations:
    """The open generations, the oldest first. A checkpoint holds them as they were drawn.

    Args:
        pool: evaluates them.
        lag: generations between the state that one is drawn from and the state before it.
        keeps_results: whether `state` holds the results that have arrived.
    """

    varying_state = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

    def __init__(self, pool: Pool, lag: int) -> None:
        self._pool = pool
        self._lag = lag
        self._drawn: deque[Submitted] = deque()
        self.keeps_results = False

    def draw(self, method: Strategy, asked: Callable[[Candidates], Candidates]) -> None:
        """Draw the generations that follow from the method's state.

        Args:
            method: which has told all generations before the oldest open one.
            asked: what is evaluated for a population.
        """
        while len(self._drawn) <= self._lag:
            candidates = method.ask()
            if self._drawn:
                number = method.generation + 1 + len(self._drawn)
                candidates = replace(candidates, generation=number)
            context = None
            if self._lag:
                now = self._pool.rank_state.problem.context()
                context = {name: np.array(array) for name, array in now.items()}
            self._drawn.append(Submitted(asked(candidates), context))

    def evaluate(self, finished: dict[int, bytes], last: int | None) -> Submitted:
        """Begin the evaluation of all that are not begun, and return the oldest one.

        Args:
            finished: results of the oldest one by unit; new ones are added.
            last: the last generation to begin, or None.
        """
        oldest = self.oldest
        if oldest.work is None:
            finished.update(oldest.finished)
            oldest.finished = finished
        for drawn in self._drawn:
            is_wanted = last is None or drawn.candidates.generation <= last or drawn is oldest
            if drawn.work is None and is_wanted:
                self._pool.begin(drawn)
        return oldest

    @property
    def oldest(self) -> Submitted:
        """The one that the method is told next."""
        return self._drawn[0]

    def close_oldest(self) -> None:
        """Forget the oldest one, which the method was told."""
        self._drawn.popleft()

    @property
    def last_begun(self) -> int:
        """The number of the last generation that has results, or 0."""
        begun = [each.candidates.generation for each in self._drawn if each.finished]
        return max(begun, default=0)

    def results(self) -> list[dict[int, bytes]]:
        """The results of each one by unit."""
        return [drawn.finished for drawn in self._drawn]

    def forget_results(self) -> None:
        """Evaluate all of them again, since the code has changed."""
        for drawn in self._drawn:
            drawn.finished = {}

    def give_up(self) -> None:
        """End the evaluation of all of them, and forget their results."""
        for drawn in self._drawn:
            self._pool.withdraw(drawn)
        self.forget_results()

    def state(self) -> State:
        """What was drawn, by its place, and its context; nothing without a lag, since asking again
        gives the same.
        """
        state: State = {}
        for place, drawn in enumerate(self._drawn if self._lag else ()):
            header, arrays = drawn.candidates.publish(None)
            record = {"kind": type(drawn.candidates).__name__, "candidates": header}
            own = {"header": np.frombuffer(json.dumps(record).encode(), np.uint8), **arrays}
            own |= with_prefix(_CONTEXT, dict(drawn.context or {}))
            if self.keeps_results and place:  # the oldest one's are elsewhere in the checkpoint
                results = drawn.finished.items()
                own |= {
                    f"{_FINISHED}{unit}": np.frombuffer(image, np.uint8) for unit, image in results
                }
            state |= with_prefix(f"{place}/", own)
        return state

    def restore(self, state: State) -> None:
        """Become those that gave ``state``.

        Raises:
            KeyError, ValueError, TypeError: they are not whole.
        """
        self._drawn.clear()
        for place in range(len({name.partition("/")[0] for name in state})):
            own = without_prefix(f"{place}/", state)
            record = parse_json(own.pop("header").tobytes())
            context = without_prefix(_CONTEXT, own)
            finished = without_prefix(_FINISHED, own)
            arrays = {
                name: np.array(array)
                for name, array in own.items()
                if not name.startswith((_CONTEXT, _FINISHED))
            }
            kind = KINDS[record["kind"]]
            noise = self._pool.rank_state.noise
            candidates = kind.receive(record["candidates"], arrays, None, noise)
            drawn = Submitted(candidates, {name: np.array(each) for name, each in context.items()})
            drawn.finished = {int(unit): each.tobytes() for unit, each in finished.items()}
            self._drawn.append(drawn)

    def check(self, generation: int) -> None:
        """Raises ValueError unless they follow a generation without a gap."""
        numbers = [drawn.candidates.generation for drawn in self._drawn]
        if numbers != list(range(generation + 1, generation + 1 + len(numbers))):
            raise ValueError(f"the open generations are {numbers}, after {generation}")
        if self._lag and generation and len(numbers) < self._lag:
            raise ValueError(f"{self._lag} generations must be open, got {len(numbers)}")
