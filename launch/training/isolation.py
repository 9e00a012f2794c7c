"""Where a run evaluates its members outside of its ranks, see `esengine.isolation`: when its zygote
is forked and what that makes, and its teams of ranks.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from esengine.isolation import Isolated, fork_zygote, zygote_of_process
from esengine.isolation.requests import serving
from esengine.isolation.teams import Teams
from esengine.launch.mpirun.teams import launching
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.methods import family_of
from esengine.launch.training.method_run import method_run
from esengine.launch.training.team_rank import described
from esengine.problems import EnvironmentProblem
from esengine.ranks import World
from esengine.ranks.launch_variables import WORKER_VARIABLE, is_launched
from esengine.storage.files import read_json
from esengine.user_code import pack_objects


def fork_early(config: RunConfig, objective: Callable[..., Any] | None = None) -> None:
    """Fork the zygote of this process if it is a rank, and a run isolates its members. Call it
    before MPI starts; a process that is alone forks when the run begins.

    Args:
        config: of the run.
        objective: the function itself, when it comes from Python instead of by name.
    """
    if is_launched() and config.isolates and _is_early():
        fork_zygote(lambda payload: _prepare(payload, objective))


def fork_for_run(path: Path) -> None:
    """`fork_early` for a run directory, whose settings may be read only after MPI has started."""
    if not (is_launched() and _is_early()):
        return
    with suppress(OSError, ValueError, KeyError, TypeError):
        config = read_json(path / "config.json")["config"]
        train = config["train"]
        if not family_of(config["method"]).reads("member", "isolate"):
            return
        timed = train.get("member_timeout") is not None and train.get("command") is None
        if (train.get("isolate") or timed) and train.get("ranks_per_member") is None:
            fork_zygote(lambda payload: _prepare(payload, None))


def _is_early() -> bool:
    """Whether MPI has not started, or there is no zygote from before that."""
    return "mpi4py.MPI" not in sys.modules or zygote_of_process() is None


def isolated_members(
    world: World, config: RunConfig, objective: Callable[..., Any] | None
) -> Isolated | None:
    """Where the run evaluates its members outside of its ranks, or None. A process that is alone
    forks its zygote here.
    """
    if config.train.ranks_per_member is not None:
        return in_teams(world, config)
    if not config.isolates:
        return None
    if world.mail is None:
        fork_zygote(lambda payload: _prepare(payload, objective))
    payload = json.dumps({"config": config.to_json(), "worker": world.rank}).encode()
    return Isolated(zygote_of_process(), payload)


def in_teams(world: World, config: RunConfig) -> Isolated | None:
    """The teams of ranks that evaluate the members of a run, or None if it has none."""
    size = config.train.ranks_per_member
    if size is None:
        return None
    objects = pack_objects(name.rstrip(":") for name in config.modules)
    return Isolated(Teams(size, partial(launching, size, world.rank)), described(config, objects))


def _prepare(
    payload: bytes, objective: Callable[..., Any] | None
) -> Callable[[socket.socket], None]:
    """In the zygote: make the problem, with everything compiled and nothing opened."""
    given = json.loads(payload)
    os.environ[WORKER_VARIABLE] = str(given["worker"])
    problem = method_run(RunConfig.from_json(given["config"]), objective).build(False).problem
    problem.set_context(problem.context())
    if isinstance(problem, EnvironmentProblem):
        problem.warm_up()
        problem.close_simulator()  # children would share what it has opened
    return serving(problem)
