"""The rank's side of isolated evaluations: one child at a time, its time-out and its death."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.isolation.requests import IsolatedMembers, decode_answer, encode_request
from esengine.problems import failed_records
from esengine.problems.contract import Evaluated
from esengine.problems.failures import MembersFailed

MOST_KILLS = 3
"""The number of children that something outside may kill during an evaluation before its members
count as failed.
"""
# A child's first evaluation may load what its source did not. Its extra time is `_SLOWER` times the
# first one that was answered; before that, `_START_S` and `_SLOWER` times the making of a child.
_START_S = 5.0
_SLOWER = 3.0
_CLOSE_S = 3.0  # until a child has closed what it has opened


class Evaluating(Protocol):
    """What evaluates members outside of the rank: a child of its zygote, or a team of ranks.

    Attributes:
        is_spent: whether it can evaluate no more, though it has answered.
    """

    @property
    def is_spent(self) -> bool: ...

    def send(self, message: bytes) -> None:
        """Send a request. Raises OSError if it has ended."""

    def receive(self, seconds: float | None) -> bytes:
        """The next answer. Raises EOFError or OSError if it has ended, TimeoutError if no answer
        came within some seconds.
        """

    def close(self, seconds: float = 0.0) -> tuple[str, bool]:
        """Let it end by itself, and kill it after some seconds.

        Returns:
            How it ended, in words, and whether that may be no fault of its members.
        """


class Source(Protocol):
    """Where those come from.

    Attributes:
        can_group: whether one request may be of several units.
    """

    @property
    def can_group(self) -> bool: ...

    def prepare(self, payload: bytes) -> None:
        """Take what the problem is made of."""

    def child(self) -> Evaluating:
        """A new one. Raises WorkerError if there can be none."""


class Isolated(NamedTuple):
    """Where a run evaluates its members outside of its ranks.

    Attributes:
        source: of what evaluates them; None if this process has none.
        payload: what the problem is made of there.
    """

    source: Source | None
    payload: bytes


class IsolatedEvaluator:
    """Evaluates members in a child of the rank's zygote, or in a team of ranks.

    Args:
        source: of the rank.
        payload: what the source makes the problem of.
        context: returns the number of the last publication and the problem's context in it.
        timeout: seconds that a member may take, or None.
        allowed: returns how many ordinary members may pass without a sign of progress.
        episodes_per_member: episodes of an ordinary member.
    """

    def __init__(
        self,
        source: Source,
        payload: bytes,
        context: Callable[[], tuple[int, Mapping[str, NDArray[Any]]]],
        timeout: float | None,
        allowed: Callable[[int, int], float],
        episodes_per_member: int,
    ) -> None:
        self._source = source
        self._payload: bytes | None = payload
        self._context = context
        self._timeout = timeout
        self._allowed = allowed
        self._usual = episodes_per_member
        self._child: Evaluating | None = None
        self._version = -1  # of the context that the child has
        self._extra_s = 0.0  # of a child's first evaluation
        self._has_evaluated = False
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
                reason, is_foreign = self._drop()
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
            child.send(encode_request(members, sent, self._timeout is not None))
        except OSError as error:
            raise EOFError from error
        self._version = version

        deadline = None
        if self._timeout is not None:
            stop = members.first + len(members.members)
            span_s = self._timeout * self._allowed(members.first, stop)
            deadline = began + span_s + (self._extra_s if is_first else 0.0)
        num_episodes = 0
        while True:
            left_s = None if deadline is None else deadline - time.monotonic()
            message = _received(child, left_s)
            if is_first and not self._has_evaluated:
                self._has_evaluated = True
                self._extra_s = min(self._extra_s, _SLOWER * (time.monotonic() - began))
            if message is None:
                raise EOFError
            if child.is_spent:
                self._drop()
            if (found := decode_answer(message)) is not None:
                return found
            num_episodes += 1
            if num_episodes % self._usual == 0 and self._timeout is not None:
                deadline = time.monotonic() + self._timeout

    def _new_child(self) -> Evaluating:
        began = time.monotonic()
        if self._payload is not None:
            self._source.prepare(self._payload)
        self._child = self._source.child()
        if self._payload is not None:
            self._payload = None
            self._extra_s = _START_S + _SLOWER * (time.monotonic() - began)
        self._version = -1
        self.num_forks += 1
        return self._child

    def _drop(self, seconds: float = 0.0) -> tuple[str, bool]:
        """Give up the child, if there is one; returns how it ended, see `Evaluating.close`."""
        child, self._child = self._child, None
        return ("", False) if child is None else child.close(seconds)

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


def _received(child: Evaluating, seconds: float | None) -> bytes | None:
    """The next answer, or None if the child has ended. Raises TimeoutError."""
    try:
        return child.receive(seconds)
    except TimeoutError:
        raise
    except (EOFError, OSError):
        return None
