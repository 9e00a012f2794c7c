"""Several runs in one process: each is a thread, one of them computes at a time, and the others
wait for the results of their units.

So the training loop of a run reads from top to bottom, and is suspended wherever it waits. Signals
and messages are handled by the main thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import copy_context
from threading import Event, Thread, current_thread
from typing import Generic, TypeVar, cast

from esengine.errors import Interrupted
from esengine.pool.alone import Alone
from esengine.pool.dispatch import Dispatch
from esengine.pool.work import Work
from esengine.ranks import StopRequest

T = TypeVar("T")


class _Run(Generic[T]):
    """A run and its thread.

    Attributes:
        waits_for: lists of units, the first of which that is over it needs; none while it computes.
        error: to be raised where it waits.
        outcome: what it returned or raised.
    """

    def __init__(self, work: Callable[[], T], name: str) -> None:
        self.waits_for: Sequence[Work] = ()
        self.error: BaseException | None = None
        self.outcome: T | BaseException | None = None
        self.has_ended = False
        self._work = work
        self._go = Event()
        self._pauses = Event()
        context = copy_context()  # a thread begins with an empty one
        self.thread = Thread(target=lambda: context.run(self._carry_out), name=name, daemon=True)

    def proceed(self) -> None:
        """Let the run compute until it waits or ends. Called by the main thread."""
        self._pauses.clear()
        if self.thread.ident is None:
            self.thread.start()
        else:
            self._go.set()
        self._pauses.wait()

    def wait_for(self, works: Sequence[Work]) -> None:
        """Let the main thread continue until one of the lists is over. Called by the run's
        thread.
        """
        self.waits_for = works
        self._pauses.set()
        self._go.wait()
        self._go.clear()
        self.waits_for = ()
        error, self.error = self.error, None
        if error is not None:
            raise error

    def _carry_out(self) -> None:
        try:
            self.outcome = self._work()
        except BaseException as error:
            self.outcome = error
        finally:
            self.has_ended = True
            self._pauses.set()


class Turns:
    """The dispatch of units for several runs; a free worker takes the oldest open unit of any.

    Args:
        dispatch: does the units.
        stop: the request to stop, checked between messages.
    """

    def __init__(self, dispatch: Dispatch | Alone, stop: StopRequest) -> None:
        self._dispatch = dispatch
        self._stop = stop
        self._runs: dict[Thread, _Run[object]] = {}

    def submit(self, work: Work, first: bool = False) -> None:
        """See `Dispatch.submit`."""
        self._dispatch.submit(work, first)

    def withdraw(self, work: Work) -> None:
        """See `Dispatch.withdraw`."""
        self._dispatch.withdraw(work)

    def finish(self, work: Work) -> None:
        """See `Dispatch.finish`; other runs compute in the meantime."""
        self.wait([work])
        self._dispatch.withdraw(work)
        if work.error is not None:
            raise work.error

    def wait(self, works: Sequence[Work]) -> None:
        """See `Dispatch.wait`; other runs compute in the meantime."""
        if not any(work.is_over for work in works):
            self._runs[current_thread()].wait_for(works)

    def carry_out(self, works: Sequence[Callable[[], T]]) -> list[T | BaseException]:
        """Carry some runs out at once; returns what each of them returned or raised, in order."""
        runs = [_Run(work, f"run {number}") for number, work in enumerate(works)]
        self._runs = {run.thread: cast(_Run[object], run) for run in runs}
        for run in runs:
            run.proceed()

        while waiting := [run for run in runs if not run.has_ended]:
            ready = [
                run
                for run in waiting
                if not run.waits_for or any(work.is_over for work in run.waits_for)
            ]
            for run in ready:
                run.proceed()
            if not ready:
                self._step(waiting)
        return [cast("T | BaseException", run.outcome) for run in runs]

    def _step(self, waiting: Sequence[_Run[T]]) -> None:
        """Do some units. What ends the work of all of them is raised in each."""
        try:
            if self._stop.received is not None:
                raise Interrupted(self._stop.received)
            if isinstance(self._dispatch, Dispatch):
                self._dispatch.step()
                return
            oldest = min((work for run in waiting for work in run.waits_for), key=_age)
            self._dispatch.do(oldest)
        except BaseException as error:
            for run in waiting:
                run.error = error
                run.proceed()


def _age(work: Work) -> int:
    return work.version
