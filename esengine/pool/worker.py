"""The worker's end of the pool: do tasks and answer them."""

from __future__ import annotations

import time
from collections import deque

from esengine.errors import Interrupted, UserError, WorkerError, describe_exception
from esengine.pool.fault_rules import FaultRules
from esengine.pool.publishing import Relay
from esengine.pool.rank_state import RankState
from esengine.pool.rank_states import RankStates
from esengine.pool.task_runner import Outcome, TaskRunner
from esengine.pool.worklist import range_s
from esengine.problems.contract import ProgressingProblem
from esengine.ranks import StopRequest, World, mailbox, messages
from esengine.ranks.backoff import Backoff
from esengine.ranks.messages import Results, Task
from esengine.ranks.signals import Abandoned
from esengine.ranks.watchdog import Deadline

_START_S = 30.0  # extra time of a first unit; for a replacement, the master knows a better value
_PATIENCE = 4  # times the aimed time of a range, after which the rest of it is returned
_IDLE_S = 10.0  # without polling, after which a worker with a --member-timeout counts as hung


def serve(
    world: World,
    rank_states: RankStates,
    stop: StopRequest | None = None,
    rules: FaultRules | None = None,
) -> None:
    """Do tasks until the master sends a stop. This is the workers' end of the pool."""
    stop = StopRequest() if stop is None else stop  # without a signal, a request is false
    Worker(world, rank_states, stop, rules or FaultRules()).serve()


class Worker:
    """A rank that does tasks.

    Args:
        world: the ranks.
        rank_states: this rank's.
        stop: cuts a task short.
        rules: how long a member may take.
    """

    def __init__(
        self, world: World, rank_states: RankStates, stop: StopRequest, rules: FaultRules
    ) -> None:
        assert world.mail is not None
        self._world = world
        self._mail = world.mail
        self._rank_states = rank_states
        self._stop = stop
        self._relay = Relay(world, rank_states)
        self._waiting: deque[Task] = deque()  # tasks whose publication was lost with a leader
        self._idle = False  # after a stop request or an exception, until the master sends a stop
        self._respawn = rules.respawn
        self._clock = None
        if rules.member_timeout is not None:
            self._clock = Clock(rules.member_timeout, rank_states.all[0], world.start_s)
            for problem in (state.problem for state in rank_states.all):
                if isinstance(problem, ProgressingProblem):
                    problem.progress = self._clock.progress
        begin = None if self._clock is None else self._clock.begin
        self._runners = {id(state): TaskRunner(state, stop, begin) for state in rank_states.all}
        self._state = rank_states.all[0]  # of the task that is being done
        self._patience_s = _PATIENCE * range_s(world.num_workers)

    def serve(self) -> None:
        """Do tasks until the master sends a stop."""
        self._world.mark_serving(self._respawn)
        self._join()

        mail = self._mail
        stop = self._stop
        backoff = Backoff()
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
            try:
                self._handle(mail.tag, body)
            except BaseException as error:  # outside of a member, or no Exception
                self._give_up(error)

        if self._clock is not None:
            self._clock.stop()

        self._world.rank_died |= messages.decode_stop(body)
        self._relay.finish()
        answer = messages.send_stop(mail, 0, self._world.rank_died)

        while not mail.sent(answer):
            backoff.pause()

    def _join(self) -> None:
        """Report to the master what it needs to replace ranks of this node."""
        assert self._rank_states.memory is not None
        if self._world.node_rank == 0:
            messages.send_leading(self._mail, self._rank_states.memory.address)
        elif self._world.is_replacement:
            messages.send_ready(self._mail, 0)

    def _note_dead_ranks(self) -> None:
        """End with the master. The master alone handles the deaths of other workers."""
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
                self._relay.publish(body)
                self._resume()
            case mailbox.LEAD_TAG:
                assert self._rank_states.memory is not None
                self._rank_states.memory.lead()
                messages.send_leading(self._mail, self._rank_states.memory.address)
            case mailbox.FOLLOW_TAG:
                assert self._rank_states.memory is not None
                try:
                    self._rank_states.memory.follow(body.decode())
                except FileNotFoundError:
                    return  # this leader has died as well; the master names another one
                self._resume()

    def _resume(self) -> None:
        """Do the tasks whose publication was lost, as far as possible."""
        while self._waiting and not self._idle and self._do(self._waiting[0]):
            self._waiting.popleft()

    def _do(self, task: Task) -> bool:
        """Do one task and answer it.

        Returns:
            False if its publication is lost, since the node's leader has died.
        """
        try:
            self._state = self._rank_states.load(task.version)
        except (KeyError, FileNotFoundError):
            if not self._world.tolerant:
                raise
            return False

        if self._clock is not None:
            self._clock.rank_state = self._state
        began = time.perf_counter()
        try:
            self._answer(task)
            if self._clock is not None and self._clock.end():
                messages.send_begun(self._mail, time.perf_counter() - began)
        except Abandoned:
            self._idle = True

        return True

    def _give_up(self, error: BaseException) -> None:
        """Report to the master an exception that no member raised, which ends the run, and do no
        more tasks.
        """
        is_message = isinstance(error, WorkerError | UserError)
        text = str(error) if is_message else describe_exception(error)
        messages.send_error(self._mail, {"host": self._world.host, "text": text})
        self._idle = True

    def _answer(self, task: Task) -> None:
        """Do a task's units and answer the quick ones together. When they take too long, return the
        rest undone.
        """
        unit = task.unit
        payloads: list[bytes] = []
        seconds = 0.0  # of the units in ``payloads``
        spent = 0.0  # of all units
        for outcome in self._runners[id(self._state)].run(task):
            if outcome.failures:
                if payloads:
                    results = Results(task.version, unit, 0, seconds, payloads)
                    messages.send_results(self._mail, results)
                self._send_failure(task, outcome)
                unit = outcome.units.stop
                payloads = []
                seconds = 0.0
            else:
                payloads += outcome.payloads
                seconds += outcome.seconds

            spent += outcome.seconds
            if spent > self._patience_s:
                break

        if payloads or outcome.num_left:
            results = Results(task.version, unit, outcome.num_left, seconds, payloads)
            messages.send_results(self._mail, results)

    def _send_failure(self, task: Task, outcome: Outcome) -> None:
        for failure in outcome.failures:
            failure["host"] = self._world.host
        results = Results(task.version, outcome.units.start, 0, outcome.seconds, outcome.payloads)
        messages.send_failure(self._mail, results, outcome.failures)


class Clock:
    """The deadline of this worker: the kernel kills it when a member takes too long, or when the
    worker hangs.
    """

    def __init__(self, member_timeout: float, rank_state: RankState, start_s: float | None) -> None:
        self._timeout = member_timeout
        self.rank_state = rank_state
        self._deadline = Deadline()
        self._start_s = _START_S if start_s is None else start_s
        self._ticked = 0.0
        self._has_evaluated = False
        self._num_episodes = 0  # of the members since `begin`

    def begin(self, members: tuple[int, int] | None) -> None:
        """Set the deadline for the evaluation of some members. A sum (None) has no deadline."""
        if members is None:
            self.stop()
            return

        self._ticked = 0.0
        self._num_episodes = 0
        self._deadline.move(
            self._start_s + self._timeout * self.rank_state.members_at_once(*members)
        )
        self._has_evaluated = True

    def progress(self) -> None:
        """Give as many episodes as an ordinary member has the time of a member again."""
        self._num_episodes += 1
        if self._num_episodes % self.rank_state.problem.episodes_per_member == 0:
            self._deadline.move(self._start_s + self._timeout)

    def end(self) -> bool:
        """Set the deadline after a task, and return whether it was the first evaluation."""
        self.tick()
        if not (self._has_evaluated and self._start_s):
            return False

        self._start_s = 0.0
        return True

    def tick(self) -> None:
        """Move the deadline while the worker polls for messages."""
        now = time.monotonic()
        if now - self._ticked > _IDLE_S / 8:
            self._ticked = now
            self._deadline.move(_IDLE_S)

    def stop(self) -> None:
        """Remove the deadline, before something that may take any time."""
        self._ticked = 0.0
        self._deadline.move(0)
