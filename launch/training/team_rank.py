"""A rank of a team, as a program: it evaluates members together with the other ranks, and ends when
its worker closes the connection. See `esengine.isolation.teams`.
"""

from __future__ import annotations

import base64
import inspect
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from esengine.errors import MemberError, UserError, describe_exception
from esengine.isolation.requests import serving
from esengine.isolation.teams import GRACE_S
from esengine.isolation.zygote import begin_apart, receive, send
from esengine.launch.settings.config import RunConfig
from esengine.launch.training.problem_from_settings import build_problem, objective_of
from esengine.problems import EnvironmentProblem, Problem
from esengine.ranks import values
from esengine.ranks.backoff import Backoff
from esengine.ranks.launch_variables import leave_environment
from esengine.ranks.mpi_library import load_mpi, unname_segments
from esengine.user_code import PARAMETER, adopt_objects, join_team


class TeamFunction:
    """An objective that all ranks of a team call together. The value is what the first rank's call
    returns.

    Args:
        function: takes the communicator as its parameter `PARAMETER`.
        comm: the communicator.
    """

    def __init__(self, function: Callable[..., Any], comm: Any) -> None:
        self.__signature__ = inspect.signature(function)
        self._function = function
        self._comm = comm
        self._own = comm.Dup()  # what the function has sent cannot be mistaken for ours
        self._lost: BaseException | None = None

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Raises what the function raised, or MemberError if it did so on another rank alone."""
        if self._lost is not None:  # the others may be anywhere
            raise self._lost
        value = error = None
        body = b""
        try:
            value = self._function(*arguments, **named, **{PARAMETER: self._comm})
            body = values.encode(value) if self._own.rank == 0 else b""
        except (Exception, SystemExit) as raised:
            error = raised
        if self._any_failed(error):
            words = "" if error is None else str(describe_exception(error))
            first = next(filter(None, values.exchange(self._own, words, str)))
            raise error or MemberError(f"another rank of the team raised:\n{first}")
        return values.broadcast(self._own, value, Any, body)

    def _any_failed(self, error: BaseException | None) -> bool:
        """Whether the function raised on any rank, once it has ended on all. A rank on which it did
        waits some time for the others, and then raises alone.
        """
        found = np.zeros(1, np.int8)
        request = self._own.Iallreduce(np.array([error is not None], np.int8), found)
        deadline = time.monotonic() + GRACE_S / 2
        backoff = Backoff()
        while not request.Test():
            if error is not None and time.monotonic() > deadline:
                self._lost = error
                raise error
            backoff.pause()
        return bool(found[0])


def described(config: RunConfig, objects: bytes) -> bytes:
    """What the ranks of a team make the problem of.

    Args:
        config: of the run.
        objects: Python objects that it names, see `user_code.pack_objects`.
    """
    packed = base64.b64encode(objects).decode()
    return json.dumps({"config": config.to_json(), "objects": packed}).encode()


def main() -> None:
    """Evaluate members until the worker, at the socket that the last argument names, has ended."""
    begin_apart()
    MPI = load_mpi()
    comm = MPI.COMM_WORLD
    comm.Barrier()
    unname_segments()
    leave_environment()
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[-1])
    hello = {"rank": comm.rank, "size": comm.size, "pid": os.getpid()}
    send(connection, json.dumps(hello).encode())
    try:
        problem = _problem(receive(connection), comm)
    except EOFError:
        return
    except UserError as error:
        send(connection, str(error).encode())
        return
    send(connection, b"")
    serving(problem)(connection)
    MPI.Finalize()


def _problem(payload: bytes, comm: Any) -> Problem:
    """The problem of a run, of which each rank of a communicator has a part."""
    given = json.loads(payload)
    adopt_objects(base64.b64decode(given["objects"]))
    config = RunConfig.from_json(given["config"])
    join_team(comm)
    if config.train.env_id is None:
        return build_problem(config, TeamFunction(objective_of(config.train), comm))
    problem = build_problem(config)
    assert isinstance(problem, EnvironmentProblem)
    problem.set_context(problem.context())
    problem.warm_up()
    return problem


if __name__ == "__main__":
    main()
