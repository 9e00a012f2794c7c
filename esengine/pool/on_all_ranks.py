"""The one way in for all ranks: build the same problem everywhere, then the master works and the
workers serve it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from esengine.pool.fault_rules import FaultRules
from esengine.pool.pool import Pool
from esengine.pool.startup import open_rank_state
from esengine.pool.worker import serve
from esengine.problems import Problem
from esengine.ranks.signals import StopRequest
from esengine.ranks.world import World

M = TypeVar("M")
T = TypeVar("T")


@dataclass(frozen=True)
class Built(Generic[M]):
    """What a rank has built before the pool opens.

    Attributes:
        problem: what members are evaluated on, the same on every rank.
        method: what the master works with; workers do not look at it.
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
    """Run ``work`` on the master while all other ranks evaluate. Every rank calls it together.

    Args:
        world: the ranks.
        build: called on every rank.
        work: called on the master with the pool and with what its own ``build`` made as the method.
        stop: asked between messages whether to stop.
        rules: what to do about members and workers that fail.

    Returns:
        What ``work`` returns; None on workers, once the master is done.

    Raises:
        UserError: on every rank: one rank's ``build`` raised it, or a node's shared memory has no
            room.
    """
    built = world.agree(build)
    with open_rank_state(world, built.problem, built.seed, built.log2_size) as rank_state:
        if not world.is_master:
            serve(world, rank_state, stop, rules)
            return None

        with Pool(world, rank_state, stop, rules) as pool:
            return work(pool, built.method)
