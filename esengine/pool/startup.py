"""The start of runs on all ranks: shared memory, the noise tables and compiled kernels, each made
once per node.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from esengine import problems
from esengine.candidates import AntitheticPairs, Genomes, MutatedParents, ScaledSamples
from esengine.noise import CounterNoise, Noise, TableNeed, create_table, reserve
from esengine.noise.table import shared_tables
from esengine.pool.rank_state import RankState
from esengine.problems import Problem
from esengine.ranks import World
from esengine.ranks.node_memory import INDEX_ROWS, NOISE, NodeMemory

_NO_PART = 1 << 62  # past the last block of any table


class Needs(NamedTuple):
    """What the ranks need for one run.

    Attributes:
        problem: this rank's copy of it.
        seed: of the noise table.
        log2_size: of the table, or None for computed noise, see `noise.table_log2`.
    """

    problem: Problem
    seed: int
    log2_size: int | None


def open_rank_state(world: World, problem: Problem, seed: int, log2_size: int | None) -> RankState:
    """The state of this rank for a single run, see `open_rank_states`."""
    return open_rank_states(world, [Needs(problem, seed, log2_size)])[0]


def open_rank_states(world: World, runs: Sequence[Needs]) -> list[RankState]:
    """The states of this rank, with the node's noise tables. All ranks call this together.

    Args:
        world: the ranks.
        runs: what each of them needs.

    Raises:
        UserError: on every rank, if the shared memory of any node has no room.
        WorkerError: on every rank, if a worker cannot prepare for another reason.
    """
    tables = [TableNeed(run.seed, run.log2_size, run.problem.dimension) for run in runs]
    memory = None
    if world.is_replacement:
        memory = _reopen(world, tables)
    elif world.size > 1:

        def reserve_tables() -> NodeMemory | None:
            return _reserve(tables) if world.node_rank == 0 else None

        memory = world.agree(reserve_tables)
        address = world.node_broadcast(None if memory is None else memory.address, str)
        memory = NodeMemory(address) if memory is None else memory

    def prepare() -> list[Noise]:
        made = _noise_of(world, tables, memory)
        if world.node_rank == 0:
            began = time.monotonic()
            for run, noise in zip(runs, made, strict=True):
                compile_kernels(noise, run.problem, mapped=memory is not None)
            world.compile_s = time.monotonic() - began
        leads = world.is_master and world.size > 1
        for problem in (run.problem for run in runs):
            if leads and isinstance(problem, problems.EnvironmentProblem):
                problem.members_together(1)  # remembers what the environment says
                problem.close_simulator()  # the workers alone need one
        return made

    def find_compiled() -> None:
        if world.node_rank > 0:  # so that the first unit takes as long as others
            for run, noise in zip(runs, noises, strict=True):
                compile_kernels(noise, run.problem, mapped=True)

    noises = world.agree(prepare)
    world.agree(find_compiled)
    return [
        RankState(noise, run.problem, memory, number)
        for number, (run, noise) in enumerate(zip(runs, noises, strict=True))
    ]


def _noise_of(world: World, needs: list[TableNeed], memory: NodeMemory | None) -> list[Noise]:
    """The noise of each run on this rank, which makes its part of the node's tables."""
    is_full = world.is_replacement and world.node_rank > 0
    part = _NO_PART if is_full else world.node_rank
    began = time.monotonic()
    made: dict[tuple[int, int | None], Noise] = {}
    for place, table in enumerate(shared_tables(needs)):
        assert table.log2_size is not None
        made[table.seed, table.log2_size] = create_table(
            table.seed,
            table.log2_size,
            table.dimension,
            memory,
            part,
            world.node_size,
            NOISE - place,
        )
        world.table_s = (time.monotonic() - began) * world.node_size
    return [made.get((need.seed, need.log2_size)) or CounterNoise() for need in needs]


def _reserve(tables: list[TableNeed]) -> NodeMemory:
    return reserve(tables, num_rows=INDEX_ROWS * len(tables))


def _reopen(world: World, tables: list[TableNeed]) -> NodeMemory:
    """The shared files of a replacement's node: those of its leader, or new ones if there is no
    leader.
    """
    if world.address is None:
        return _reserve(tables)
    try:
        return NodeMemory(world.address)
    except OSError:
        world.die()  # the leader has just died; the master starts another replacement


def compile_kernels(noise: Noise, problem: Problem, mapped: bool) -> None:
    """Compile, or load from the cache, every kernel that this problem uses.

    Args:
        noise: the node's noise.
        problem: the problem.
        mapped: whether published arrays will be mapped. These are read-only, which is another type
            for the compiler.
    """
    row = np.zeros(problem.dimension, problem.dtype)
    none = np.empty(0, np.int64)
    first = np.zeros(1, np.int64)
    genomes = Genomes(row[None], first, first, first, np.ones(1), np.array([0, 1]))
    parents = genomes.rows(noise, 0)
    parents.setflags(write=not mapped)
    weights = np.empty(0, problem.dtype)
    MutatedParents(0, 1, 1, 1.0, parents=parents).rows(noise, 0, 1)
    AntitheticPairs(0, 1, 2, 1.0, parents[0]).rows(noise, 0, 2)
    ScaledSamples(0, 1, 1, False, parents[0], parents[0]).rows(noise, 0, 1)
    noise.weighted_sum(weights, none, 0, 1, row)
    noise.weighted_sum(weights, none, 0, 2, row)
    if isinstance(problem, problems.EnvironmentProblem):
        problem.set_context(problem.context())
        problem.warm_up()
