"""The rank's side of isolated evaluations: one child at a time, its time-out and its death."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.isolation.requests import IsolatedMembers, receive_answer, send_request
from esengine.isolation.zygote import Child, Zygote
from esengine.problems import failed_records
from esengine.problems.contract import Evaluated
from esengine.problems.failures import MembersFailed

MOST_KILLS = 3
"""The number of children that something outside may kill during an evaluation before its members
count as failed.
"""
_START_S = 30.0  # extra time of the first evaluation, which may load what the zygote did not
_SLOWER = 3.0  # times that evaluation, the extra time of a later child's first one
_CLOSE_S = 3.0  # until a child has closed what it has opened


class IsolatedEvaluator:
    """Evaluates members in a child of the rank's zygote.

    Args:
        zygote: of the rank.
        payload: what the zygote makes the problem of.
        context: returns the number of the last publication and the problem's context in it.
        timeout: seconds that a member may take, or None.
        allowed: returns how many ordinary members may pass without a sign of progress.
        episodes_per_member: episodes of an ordinary member.
    """

    def __init__(
        self,
        zygote: Zygote,
        payload: bytes,
        context: Callable[[], tuple[int, Mapping[str, NDArray[Any]]]],
        timeout: float | None,
        allowed: Callable[[int, int], float],
        episodes_per_member: int,
    ) -> None:
        self._zygote = zygote
        self._payload: bytes | None = payload
        self._context = context
        self._timeout = timeout
        self._allowed = allowed
        self._usual = episodes_per_member
        self._child: Child | None = None
        self._version = -1  # of the context that the child has
        self._start_s: float | None = None
        self.num_forks = 0

    def evaluate(self, candidates: Candidates, first: int, rows: NDArray[np.floating]) -> Evaluated:
        """Evaluate members as `Problem.evaluate` does, in a child.

        Raises:
            MembersFailed: members raised, took too long or ended the child.
        """
        members = IsolatedMembers.of(candidates, first, rows)
        for _ in range(MOST_KILLS):
            try:
                return self._evaluate(members)
            except EOFError:
                reason, is_foreign = self._reason_of_death()
                if not is_foreign:
                    break
            except TimeoutError:
                self._drop()
                reason = (
                    f"its process was killed, since it took longer than --member-timeout "
                    f"{self._timeout:g} s"
                )
                break
            except MembersFailed:
                raise
            except BaseException:  # a signal: the child is in the middle of a member
                self._drop()
                raise
        raise self._failed(members, reason)

    def close(self) -> None:
        """End the child in order."""
        self._drop(_CLOSE_S)

    def _evaluate(self, members: IsolatedMembers) -> Evaluated:
        """Evaluate in the child there is, or in a new one.

        Raises:
            MembersFailed: members raised.
            EOFError: the child has ended.
            TimeoutError: it took too long.
        """
        is_first = self._child is None
        child = self._child or self._new_child()
        version, context = self._context()
        began = time.monotonic()
        try:
            sent = context if version != self._version else None
            send_request(child.connection, members, sent, self._timeout is not None)
        except OSError as error:
            raise EOFError from error
        self._version = version

        deadline = None
        if self._timeout is not None:
            extra_s = _START_S if self._start_s is None else _SLOWER * self._start_s
            stop = members.first + len(members.members)
            span_s = self._timeout * self._allowed(members.first, stop)
            deadline = began + span_s + (extra_s if is_first else 0.0)
        num_episodes = 0
        while True:
            left_s = None if deadline is None else deadline - time.monotonic()
            if not child.wait(left_s):
                raise TimeoutError
            try:
                found = receive_answer(child.connection)
            except OSError as error:
                raise EOFError from error
            finally:
                if is_first and self._start_s is None:
                    self._start_s = min(_START_S, time.monotonic() - began)
            if found is not None:
                return found
            num_episodes += 1
            if num_episodes % self._usual == 0 and self._timeout is not None:
                deadline = time.monotonic() + self._timeout

    def _new_child(self) -> Child:
        if self._payload is not None:
            self._zygote.prepare(self._payload)
            self._payload = None
        self._child = self._zygote.child()
        self._version = -1
        self.num_forks += 1
        return self._child

    def _reason_of_death(self) -> tuple[str, bool]:
        """How the child ended, in words, and whether something outside killed it."""
        code = self._drop()
        if code >= 0:
            return f"it ended its process with exit status {code}", False
        hint = ", as when memory runs out or somebody kills it" if code == -signal.SIGKILL else ""
        name = signal.Signals(-code).name
        return f"its process was ended by {name}{hint}", code == -signal.SIGKILL

    def _drop(self, seconds: float = 0.0) -> int:
        """Give up the child, if there is one; returns how it ended."""
        child, self._child = self._child, None
        if child is None:
            return 0
        child.close(seconds)
        return self._zygote.status(child.pid)

    def _failed(self, members: IsolatedMembers, reason: str) -> MembersFailed:
        stop = members.first + len(members.members)
        failures = [
            {
                "generation": members.generation,
                "member": member,
                "purpose": members.episode_purpose,
                "seed": members.seed,
                "error": reason,
                "of_user": False,
            }
            for member in range(members.first, stop)
        ]
        records = failed_records(members.first, stop)
        records["episodes"] = [count or self._usual for count in members.counts]
        return MembersFailed(records, {}, failures)
