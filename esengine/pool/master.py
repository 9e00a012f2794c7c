"""The master's connection with its workers, which the pools of several runs may share."""

from __future__ import annotations

import signal
import time

from esengine.pool.alone import Alone
from esengine.pool.dispatch import Dispatch
from esengine.pool.fault_rules import FaultRules
from esengine.pool.publishing import Publisher
from esengine.pool.rank_states import RankStates
from esengine.pool.turns import Turns
from esengine.pool.workers import Workers
from esengine.ranks import StopRequest, World, guard, mailbox, messages
from esengine.ranks.backoff import Backoff

_GRACE_S = 3.0  # time that busy workers get to answer a stop


class Master:
    """The workers, the units that they do, and what is published to them.

    Args:
        world: the ranks.
        rank_states: the master's, which leads its node.
        stop: the request to stop, checked between messages.
        rules: for members and workers that fail.

    Attributes:
        workers: None when the process is alone.
        turns: of several runs, or None for a single one.
        dispatch: what pools give their units to.
        publisher: what they publish with.
    """

    def __init__(
        self, world: World, rank_states: RankStates, stop: StopRequest, rules: FaultRules
    ) -> None:
        world.num_pools += 1
        self._world = world
        self._stop = stop
        self.workers = None if world.comm is None else Workers(world, rank_states, rules)
        dispatch: Dispatch | None = None
        if self.workers is not None:
            dispatch = Dispatch(self.workers, stop, rules)
        own = dispatch or Alone(stop, rules, world.host)
        self.turns = Turns(own, stop) if len(rank_states.all) > 1 else None
        self.dispatch = self.turns or own
        self.publisher = Publisher(self.workers, dispatch, stop)
        guard.mark_serving()
        world.mark_ready()

    def close(self) -> None:
        """Stop every worker. If one does not answer in time, the ranks will be aborted."""
        mail = self._world.mail
        if mail is None:
            return
        if self._stop.is_final:
            self._world.end = "exit"
            return

        assert self.workers is not None
        self.workers.end_births()
        if self._stop:
            self._world.nursery.signal(signal.SIGUSR1)  # the launcher does not know replacements
        requests = [
            messages.send_stop(mail, worker, self._world.rank_died)
            for worker in sorted(self._world.living)
        ]
        waiting = set(self._world.living)
        backoff = Backoff()
        began = time.monotonic()

        while waiting and time.monotonic() - began < _GRACE_S:
            if mail.poll() is None:
                waiting -= set(self.workers.mail.lost)
                backoff.pause()
            elif mail.tag == mailbox.STOP_TAG:
                waiting.discard(mail.source)

        self._world.rank_died |= bool(mail.lost)
        self._world.living -= set(mail.lost)

        if waiting:
            self._world.end = "abort"
            return

        while not all([mail.sent(request) for request in requests]):
            backoff.pause()
