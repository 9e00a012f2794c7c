"""What a rank raises while all ranks do something together, so that all of them can raise it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from esengine.errors import UserError, WorkerError, describe_exception

T = TypeVar("T")


class Refusal(NamedTuple):
    """What one rank raised.

    Attributes:
        text: the words of a `UserError`, or a traceback.
        of_user: whether it was a `UserError`.
    """

    text: str
    of_user: bool


def attempt(action: Callable[[], T], only_user_errors: bool) -> tuple[T | None, Refusal | None]:
    """Run ``action``, and return its result, or what it raised.

    Args:
        action: called once.
        only_user_errors: raise all other exceptions as they are.
    """
    try:
        return action(), None
    except UserError as error:
        return None, Refusal(str(error), True)
    except (Exception, SystemExit) as error:
        if only_user_errors:
            raise
        return None, Refusal(f"raised:\n{describe_exception(error)}", False)


def raise_first(refusals: Sequence[Refusal | None], hosts: Sequence[str]) -> None:
    """Raise what the first of the ranks raised, with its rank and host unless all raised the same.

    Raises:
        UserError, WorkerError: as `Refusal.of_user` says.
    """
    for rank, refusal in enumerate(refusals):
        if refusal is not None:
            is_common = all(other == refusal for other in refusals)
            where = "" if is_common else f"rank {rank} on {hosts[rank]}: "
            raise (UserError if refusal.of_user else WorkerError)(where + refusal.text)
