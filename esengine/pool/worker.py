"""The worker's end of the pool: do tasks and answer them."""

from __future__ import annotations

import time
from collections import deque

from esengine.errors import Interrupted, UserError, WorkerError
from esengine.pool.fault_rules import FaultRules
from esengine.pool.publishing import Relay
from esengine.pool.rank_state import RankState
from esengine.pool.task_runner import Outcome, TaskRunner
from esengine.pool.worklist import range_s
from esengine.problems.failures import describe_exception
from esengine.ranks import guard, mailbox, messages
from esengine.ranks.messages import Results, Task
from esengine.ranks.signals import Abandoned, StopRequest
from esengine.ranks.watchdog import Deadline
from esengine.ranks.world import Backoff, World

# that a first unit may take beyond --member-timeout, except a replacement's, for which others' are
# known
_START_S = 30.0
_PATIENCE = 4  # times what a range of units should take, after which the rest of it is handed back
# seconds without a look at the messages after which a worker with a --member-timeout counts as hung
_IDLE_S = 10.0


def serve(
    world: World,
    rank_state: RankState,
    stop: StopRequest | None = None,
    rules: FaultRules | None = None,
) -> None:
    """The worker's end: do tasks until the master says stop."""
    Worker(
        world,
        rank_state,
        StopRequest() if stop is None else stop,
        FaultRules() if rules is None else rules,
    ).serve()


class Worker:
    """A rank that does tasks.

    Args:
        world: the ranks.
        rank_state: does the tasks.
        stop: cuts a task short.
        rules: how long a member may take.
    """

    def __init__(
        self, world: World, rank_state: RankState, stop: StopRequest, rules: FaultRules
    ) -> None:
        assert world.mail is not None
        self._world, self._mail, self._rank_state, self._stop = world, world.mail, rank_state, stop
        self._relay = Relay(world, rank_state)
        self._waiting: deque[Task] = (
            deque()
        )  # tasks on a publication that the node's dead leader took with it
        # a stop request or an exception ended this worker's work; it waits for the master's stop
        self._idle = False
        self._clock = (
            None
            if rules.member_timeout is None
            else Clock(rules.member_timeout, rank_state, world.start_s)
        )
        begin = None if self._clock is None else self._clock.begin
        self._runner = TaskRunner(rank_state, stop, begin)
        self._patience_s = _PATIENCE * range_s(world.num_workers)

    def serve(self) -> None:
        """Do tasks until the master says stop."""
        guard.mark_serving()
        mail, stop, backoff = self._mail, self._stop, Backoff()
        self._join()
        while True:
            if stop.is_final:
                self._world.end = "exit"
                raise Interrupted(stop.received)
            body = mail.poll()
            if body is None:
                if mail.lost:
                    self._note_dead_ranks()
                if self._clock is not None:
                    self._clock.tick()
                backoff.pause()
                continue
            backoff.reset()
            if mail.tag == mailbox.STOP_TAG:
                break
            self._handle(mail.tag, body)
        if self._clock is not None:
            self._clock.stop()
        self._world.rank_died |= messages.decode_stop(body)
        self._relay.finish()
        answer = messages.send_stop(mail, 0, self._world.rank_died)
        while not mail.sent(answer):
            backoff.pause()

    def _join(self) -> None:
        """Tell the master what it must know to replace the ranks of this node."""
        assert self._rank_state.memory is not None
        if self._world.node_rank == 0:
            messages.send_leading(self._mail, self._rank_state.memory.address)
        elif self._world.is_replacement:
            messages.send_ready(self._mail, 0)

    def _note_dead_ranks(self) -> None:
        """Other workers' deaths are the master's business; without the master there is nothing left
        to do.
        """
        if 0 in self._mail.lost:
            self._world.die()
        self._mail.lost.clear()
        self._world.rank_died = True

    def _handle(self, tag: int, body: bytearray) -> None:
        match tag:
            case mailbox.TASK_TAG if not self._idle:
                task = messages.decode_task(body)
                if self._waiting or not self._do(task):
                    self._waiting.append(task)
            case mailbox.PUBLISH_TAG:
                if self._clock is not None:
                    self._clock.stop()
                try:
                    self._relay.publish(body)
                except Exception as error:
                    self._give_up(error)
                self._resume()
            case mailbox.LEAD_TAG:
                assert self._rank_state.memory is not None
                self._rank_state.memory.lead()
                messages.send_leading(self._mail, self._rank_state.memory.address)
            case mailbox.FOLLOW_TAG:
                assert self._rank_state.memory is not None
                try:
                    self._rank_state.memory.follow(body.decode())
                except OSError:
                    return  # that leader has died as well; the master will name another
                self._resume()

    def _resume(self) -> None:
        """Go on with the tasks whose publication was not to be found."""
        while self._waiting and not self._idle and self._do(self._waiting[0]):
            self._waiting.popleft()

    def _do(self, task: Task) -> bool:
        """Do one task and answer it; False if its publication is not to be found, since the node's
        leader has died.
        """
        try:
            self._rank_state.load(task.version)
        except (KeyError, OSError):
            if not self._world.tolerant:
                raise
            return False
        began = time.perf_counter()
        try:
            self._answer(task)
            if self._clock is not None and self._clock.end():
                messages.send_begun(self._mail, time.perf_counter() - began)
        except Abandoned:
            self._idle = True
        except (Exception, SystemExit) as error:
            self._give_up(error)
        return True

    def _give_up(self, error: BaseException) -> None:
        """Tell the master of an exception that no member raised, which ends the run, and do no
        more.
        """
        text = (
            str(error) if isinstance(error, WorkerError | UserError) else describe_exception(error)
        )
        messages.send_error(self._mail, {"host": self._world.host, "text": text})
        self._idle = True

    def _answer(self, task: Task) -> None:
        """Do a task's units and answer the quick ones together; those that come after slow ones are
        handed back.
        """
        unit, seconds, payloads, spent = task.unit, 0.0, list[bytes](), 0.0
        for outcome in self._runner.run(task):
            if outcome.failures:
                if payloads:
                    messages.send_results(
                        self._mail, Results(task.version, unit, 0, seconds, payloads)
                    )
                self._tell_failure(task, outcome)
                unit, seconds, payloads = outcome.units.stop, 0.0, []
            else:
                seconds += outcome.seconds
                payloads += outcome.payloads
            spent += outcome.seconds
            if spent > self._patience_s:
                break
        if payloads or outcome.num_left:
            messages.send_results(
                self._mail, Results(task.version, unit, outcome.num_left, seconds, payloads)
            )

    def _tell_failure(self, task: Task, outcome: Outcome) -> None:
        for failure in outcome.failures:
            failure["host"] = self._world.host
        results = Results(task.version, outcome.units.start, 0, outcome.seconds, outcome.payloads)
        messages.send_failure(self._mail, results, outcome.failures)


class Clock:
    """Has the kernel kill this worker when a member takes too long, or when the worker stands
    still.
    """

    def __init__(self, member_timeout: float, rank_state: RankState, start_s: float | None) -> None:
        self._timeout, self._rank_state, self._deadline = member_timeout, rank_state, Deadline()
        self._start_s = _START_S if start_s is None else start_s
        self._ticked, self._has_evaluated = 0.0, False

    def begin(self, members: tuple[int, int] | None) -> None:
        """The evaluation of some members begins, or a sum, which may take as long as it takes."""
        self._ticked = 0.0
        if members is None:
            self._deadline.move(0)
            return
        self._deadline.move(
            self._start_s + self._timeout * self._rank_state.members_worth(*members)
        )
        self._has_evaluated = True

    def end(self) -> bool:
        """A task has ended; returns whether it was the first evaluation."""
        self.tick()
        if not (self._has_evaluated and self._start_s):
            return False
        self._start_s = 0.0
        return True

    def tick(self) -> None:
        """The worker looks for messages."""
        now = time.monotonic()
        if now - self._ticked > _IDLE_S / 8:
            self._ticked = now
            self._deadline.move(_IDLE_S)

    def stop(self) -> None:
        """Something begins that may take as long as it takes."""
        self._ticked = 0.0
        self._deadline.move(0)
