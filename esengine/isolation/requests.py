"""What a rank sends to the child that evaluates its members, and what comes back."""

from __future__ import annotations

import pickle
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.isolation.zygote import receive, send
from esengine.noise import Noise
from esengine.problems import FAILED, MEMBER, Problem, failed_records, failure_of
from esengine.problems.contract import Evaluated, ProgressingProblem
from esengine.problems.failures import MembersFailed
from esengine.user_code import FORKS, environments_closed, limits_kept

PROGRESS = b"p"
"""An answer that is none yet: one more episode of a member has ended."""
_RECORDS, _ARRAYS, _FAILED = b"r", b"a", b"f"


@dataclass(frozen=True)
class IsolatedMembers(Candidates):
    """Some members of a population, as far as an evaluation asks.

    Attributes:
        purpose: see `Candidates.episode_purpose`.
        sharing: see `Candidates.members_per_start`.
        first: the first of them.
        counts: see `Candidates.num_episodes`, of each.
        members: (num_members, dimension) their parameters.
    """

    purpose: str
    sharing: int
    first: int
    counts: tuple[int | None, ...]
    members: NDArray[np.floating]

    @classmethod
    def of(cls, whole: Candidates, first: int, rows: NDArray[np.floating]) -> IsolatedMembers:
        """The members of a population from ``first`` on, with their parameters."""
        counts = tuple(whole.num_episodes(member) for member in range(first, first + len(rows)))
        return cls(
            whole.seed,
            whole.generation,
            whole.population_size,
            whole.episode_purpose,
            whole.members_per_start,
            first,
            counts,
            np.ascontiguousarray(rows),
        )

    @property
    def episode_purpose(self) -> str:  # type: ignore[override]
        return self.purpose

    @property
    def members_per_start(self) -> int:
        return self.sharing

    @property
    def dimension(self) -> int:
        return int(self.members.shape[1])

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.floating]:
        return self.members[start - self.first : stop - self.first]

    def num_episodes(self, member: int) -> int | None:
        return self.counts[member - self.first]


def encode_request(
    members: IsolatedMembers, context: Mapping[str, NDArray[Any]] | None, progress: bool
) -> bytes:
    """The message that asks a child to evaluate members.

    Args:
        members: to evaluate.
        context: of the problem, or None if the child has it.
        progress: whether to answer `PROGRESS` on the way.
    """
    own = None if context is None else {name: np.array(array) for name, array in context.items()}
    return pickle.dumps((members, own, progress), pickle.HIGHEST_PROTOCOL)


def decode_answer(message: bytes) -> Evaluated | None:
    """What a child found, or None for `PROGRESS`.

    Raises:
        MembersFailed: members raised.
    """
    kind = message[:1]
    if kind == _RECORDS:
        return np.frombuffer(message, MEMBER, offset=1), {}
    if kind == PROGRESS:
        return None
    records, arrays, failures = pickle.loads(message[1:])  # from a process of this launch
    if kind == _FAILED:
        raise MembersFailed(records, arrays, failures)
    return records, arrays


def is_failure(message: bytes) -> bool:
    """Whether an answer says that members raised."""
    return message[:1] == _FAILED


def failed_alone(message: bytes) -> bytes:
    """The answer of a rank whose members raised there alone, so that all of its members failed."""
    records, _, failures = pickle.loads(message[1:])  # from a process of this launch
    records["fitness"] = np.nan
    records["status"] = FAILED
    return _FAILED + pickle.dumps((records, {}, failures))


def serving(problem: Problem) -> Callable[[socket.socket], None]:
    """What a child does: evaluate members of a problem until its connection is closed."""

    def serve(connection: socket.socket) -> None:
        if isinstance(problem, ProgressingProblem):
            problem.progress = None
        with limits_kept(), environments_closed():
            while True:
                try:
                    request = receive(connection)
                except EOFError:
                    return
                send(connection, _answer(problem, connection, request))

    return serve


def _answer(problem: Problem, connection: socket.socket, request: bytes) -> bytes:
    """The answer to a request."""
    members, context, progress = pickle.loads(request)  # from the process that forked this one
    if context is not None:
        problem.set_context(context)
    if isinstance(problem, ProgressingProblem):
        problem.progress = (lambda: send(connection, PROGRESS)) if progress else None

    try:
        records, arrays = problem.evaluate(members, members.first, members.members)
    except MembersFailed as failed:
        found = (failed.records, dict(failed.arrays), failed.failures)
        return _FAILED + pickle.dumps(found)
    except (Exception, SystemExit) as error:
        failure = failure_of(error, members, members.first, members.seed)
        records = failed_records(members.first, members.first + len(members.members))
        return _FAILED + pickle.dumps((records, {}, [failure]))
    finally:
        FORKS.end_child()
    if arrays:
        return _ARRAYS + pickle.dumps((records, dict(arrays), []))
    return _RECORDS + records.tobytes()
