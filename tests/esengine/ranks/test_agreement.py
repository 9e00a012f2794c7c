"""What one rank raises is raised by all."""

from __future__ import annotations

import sys

import pytest

from esengine.errors import UserError, WorkerError
from esengine.ranks.agreement import attempt, raise_first

HOSTS = ["one", "two", "three"]


def refuse() -> None:
    raise UserError("the port is in use")


def test_a_refusal_of_one_rank_names_it() -> None:
    _, refusal = attempt(refuse, only_user_errors=True)
    with pytest.raises(UserError, match=r"^rank 1 on two: the port is in use$"):
        raise_first([None, refusal, refusal], HOSTS)


def test_a_refusal_of_all_ranks_names_none() -> None:
    _, refusal = attempt(refuse, only_user_errors=True)
    with pytest.raises(UserError, match=r"^the port is in use$"):
        raise_first([refusal] * 3, HOSTS)


@pytest.mark.parametrize("failing", [lambda: 1 / 0, lambda: sys.exit("no licence")])
def test_any_other_exception_of_a_worker_is_agreed_on_as_well(failing: object) -> None:
    _, refusal = attempt(failing, only_user_errors=False)  # type: ignore[arg-type]
    with pytest.raises(WorkerError, match=r"^rank 2 on three: raised:\nTraceback"):
        raise_first([None, None, refusal], HOSTS)
    with pytest.raises((ZeroDivisionError, SystemExit)):
        attempt(failing, only_user_errors=True)  # type: ignore[arg-type]
