"""The assembly of all ranks of a launch, which reports those that do not come.

Every rank has to make the same calls. If a script calls esengine on rank 0 alone, the others never
answer, and MPI would wait without a word.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from esengine.errors import UserError
from esengine.ranks.backoff import Backoff
from esengine.ranks.guard import report

if TYPE_CHECKING:
    from mpi4py import MPI

_TELL_S = 5.0  # until the missing ranks are named
_ASK_S = 1.0  # for the answers to the question who is there
_LEAST_S = 30.0  # until the call fails
_SLOWER = 10.0  # times the age of this process, if that is more
_HERE_TAG, _ANSWER_TAG = 20, 21
_RULE = "every rank of a launch must make the same calls of esengine"


def assemble(comm: MPI.Comm, age_s: float) -> None:
    """Wait until all ranks of ``comm`` have called this.

    If that takes long, one rank reports who is missing.

    Args:
        comm: the ranks.
        age_s: of this process; others may be slower to come here.

    Raises:
        UserError: some ranks have not called this in time.
    """
    everybody = comm.Ibarrier()
    if _waits(everybody, _TELL_S):
        return

    missing = _missing_ranks(comm)
    if missing:
        report(f"{_named(missing)} of this launch did not make a call that others wait in; {_RULE}")

    most_s = max(_LEAST_S, _SLOWER * age_s)
    if not _waits(everybody, most_s):
        raise UserError(
            f"{_RULE}, and {_named(missing or [0])} did not within {_TELL_S + most_s:.0f} s; "
            f"remove the condition on the rank around the call"
        )


def _waits(request: MPI.Request, seconds: float) -> bool:
    """Whether a request is done within some seconds."""
    deadline = time.monotonic() + seconds
    backoff = Backoff()
    while not request.Test():
        if time.monotonic() > deadline:
            return False
        backoff.pause()
    return True


def _missing_ranks(comm: MPI.Comm) -> list[int]:
    """The ranks that this rank has to report.

    Rank 0 reports all that do not write to it. If it is missing itself, the rank after it reports
    that, or the next one whose predecessor is missing.
    """
    requests = []
    if comm.rank != 0:
        requests.append(comm.Isend(b"", 0, _HERE_TAG))
        if comm.rank + 1 < comm.size:
            requests.append(comm.Isend(b"", comm.rank + 1, _HERE_TAG))

    here = {comm.rank}
    is_answered = False
    deadline = time.monotonic() + (_ASK_S if comm.rank == 0 else 2 * _ASK_S)
    while time.monotonic() < deadline:
        while (message := comm.Improbe(tag=_HERE_TAG)) is not None:
            source = _receive(message)
            here.add(source)
            if comm.rank == 0:
                requests.append(comm.Isend(b"", source, _ANSWER_TAG))
        if (message := comm.Improbe(tag=_ANSWER_TAG)) is not None:
            _receive(message)
            is_answered = True
        time.sleep(1e-3)

    if comm.rank == 0:
        return sorted(set(range(comm.size)) - here)
    before = comm.rank - 1
    return [before] if not is_answered and before not in here else []


def _receive(message: MPI.Message) -> int:
    """The source of a message without a body."""
    from mpi4py import MPI

    status = MPI.Status()
    message.Recv(bytearray(), status)
    return status.source


def _named(ranks: list[int]) -> str:
    if len(ranks) == 1:
        return f"rank {ranks[0]}"
    names = [str(rank) for rank in ranks[:10]] + ["others"] * (len(ranks) > 10)
    return f"ranks {', '.join(names[:-1])} and {names[-1]}"
