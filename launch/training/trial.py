"""One trial of the environment or the objective before ranks start, in a process of its own.

User code may crash, hang or change its process, so a forked child tries it. A child that ends
without an answer says nothing: members are run by rules for such things.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import numpy as np

from esengine.errors import UserError
from esengine.launch.settings.train_settings import TrainSettings
from esengine.launch.training.problem_from_settings import initial_row
from esengine.problems import EnvironmentProblem, ObjectiveProblem, Problem
from esengine.ranks.signals import SIGNALS
from esengine.seeding import derive_key, derive_seed
from esengine.simulators.trial import try_environment
from esengine.user_code import CLOSE_S, FORKS

_PATIENCE_S = 2.0  # before a run begins
_AGAIN_S = 0.01  # after which a child is interrupted again, if its environment caught that


def tried(train: TrainSettings, problem: Problem) -> list[str]:
    """Try the problem of a run, warn of what does not hold with it, and return these sentences.

    Args:
        train: the settings of the run.
        problem: its problem.

    Raises:
        UserError: the environment does not keep gymnasium's interface, or the objective returns no
            number.
    """
    if train.ranks_per_member is not None:
        return []  # only a team can evaluate it
    if isinstance(problem, EnvironmentProblem):
        return environment_tried(problem, train.member_timeout)
    assert isinstance(problem, ObjectiveProblem)

    def work() -> list[str]:
        _try_objective(train, problem)
        return []

    return apart(work, _patience_s(train.member_timeout))


def environment_tried(problem: EnvironmentProblem, timeout_s: float | None = None) -> list[str]:
    """`tried` for the environment of a problem.

    Args:
        problem: the problem.
        timeout_s: seconds that a member may take, or None.
    """

    def work() -> list[str]:
        return try_environment(
            problem.environment,
            "gymnasium" if problem.shield else problem.env_backend,
            problem.fresh_env,
            problem.max_episode_steps,
        )

    remarks = apart(work, _patience_s(timeout_s), CLOSE_S)
    for remark in remarks:
        warnings.warn(remark, stacklevel=2)
    return remarks


def _patience_s(member_timeout: float | None) -> float:
    """How long a trial may take, in seconds."""
    return min(_PATIENCE_S, member_timeout or _PATIENCE_S)


def _try_objective(train: TrainSettings, problem: ObjectiveProblem) -> None:
    """Call the objective once, where the search begins. Raises UserError if it returns no number,
    or takes other arguments.
    """
    point = problem.points(initial_row(train, problem)[None])[0]
    seed = derive_seed(derive_key(train.seed, "trial"), 0, 0) >> 32  # as large as those of runs
    try:
        problem.value_at(np.array(point), seed)
    except TypeError as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        last = "" if trace is None else trace.tb_frame.f_globals.get("__name__", "")
        if last.startswith("esengine.problems."):  # no line of the function was reached
            raise UserError(
                f"the objective must take one vector, and seed=... if it is noisy, got: {error}"
            ) from error
    except UserError:
        raise
    except (Exception, SystemExit):
        pass  # a matter of members


class _TookTooLong(BaseException):
    """Not an `Exception`, so that no environment catches it."""


def apart(work: Callable[[], list[str]], patience_s: float, close_s: float = 0.0) -> list[str]:
    """Do work in a forked child, and return its sentences; none if the child ends without an
    answer, or takes too long.

    Args:
        work: what to do.
        patience_s: most seconds that it may take.
        close_s: most seconds after these, in which it closes what it has opened.

    Raises:
        UserError: the work raised it.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's, of forks among threads
        child = os.fork()
    if child == 0:
        _answer(work, writing, patience_s)

    os.close(writing)
    try:
        image = _line(reading, patience_s + close_s)
    finally:
        os.close(reading)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)  # what it has started goes with it
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    if not image:
        return []
    answer = json.loads(image)
    if "refused" in answer:
        raise UserError(answer["refused"])
    return list(answer["remarks"])


def _answer(work: Callable[[], list[str]], writing: int, patience_s: float) -> None:
    """Do the child's work, and end it, in order once it has taken too long."""

    def expire(number: int, frame: FrameType | None) -> None:
        raise _TookTooLong

    try:
        FORKS.watch()  # it is no child of user code
        os.setpgid(0, 0)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, expire)
        signal.setitimer(signal.ITIMER_REAL, patience_s, _AGAIN_S)
        try:
            answer: dict[str, object] = {"remarks": work()}
        except UserError as error:
            answer = {"refused": str(error)}
        except _TookTooLong:
            answer = {"remarks": []}
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.write(writing, json.dumps(answer).encode() + b"\n")
    finally:
        os._exit(0)


def _line(reading: int, patience_s: float) -> bytes:
    """The line that comes through a pipe, or nothing if its writer ends, or time does."""
    image = b""
    until = time.monotonic() + patience_s
    while not image.endswith(b"\n"):
        ready, _, _ = select.select([reading], [], [], max(0.0, until - time.monotonic()))
        part = os.read(reading, 1 << 16) if ready else b""
        if not part:
            return b""
        image += part
    return image
