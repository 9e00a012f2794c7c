"""The start of a run on all ranks: shared memory, the noise table and compiled kernels, each made
once per node.
"""

from __future__ import annotations

import time

import numpy as np

from esengine.candidates import AntitheticPairs, Genomes, MutatedParents, ScaledSamples
from esengine.noise import CounterNoise, Noise, create_table, reserve
from esengine.pool.rank_state import RankState
from esengine.problems import EnvironmentProblem, Problem
from esengine.ranks import World
from esengine.ranks.node_memory import NodeMemory

_NO_PART = 1 << 62  # past the last block of any table


def open_rank_state(world: World, problem: Problem, seed: int, log2_size: int | None) -> RankState:
    """The state of this rank, with the node's noise table. All ranks call this together.

    Args:
        world: the ranks.
        problem: this rank's copy of the problem.
        seed: of the table.
        log2_size: of the table, or None for computed noise, see `noise.table_log2`.

    Raises:
        UserError: on every rank, if the shared memory of any node has no room.
        WorkerError: on every rank, if a worker cannot prepare for another reason.
    """
    memory = None
    if world.is_replacement:
        memory = _reopen(world, problem, log2_size)
    elif world.size > 1:

        def reserve_table() -> NodeMemory | None:
            return reserve(log2_size, problem.dimension) if world.node_rank == 0 else None

        memory = world.agree(reserve_table)
        address = world.node_broadcast(memory.address if memory is not None else None)
        memory = NodeMemory(address) if memory is None else memory

    def prepare() -> Noise:
        noise = _noise_of(world, problem, seed, log2_size, memory)
        if world.node_rank == 0:
            began = time.monotonic()
            compile_kernels(noise, problem, mapped=memory is not None)
            world.compile_s = time.monotonic() - began
        if world.is_master and world.size > 1 and isinstance(problem, EnvironmentProblem):
            problem.members_together(1)  # remembers what the environment says
            problem.close_simulator()  # the workers alone need one
        return noise

    def find_compiled() -> None:
        if world.node_rank > 0:  # so that the first unit takes as long as others
            compile_kernels(noise, problem, mapped=True)

    noise = world.agree(prepare)
    world.agree(find_compiled)
    return RankState(noise, problem, memory)


def _noise_of(
    world: World, problem: Problem, seed: int, log2_size: int | None, memory: NodeMemory | None
) -> Noise:
    """The noise of a rank, of which it makes its part of the node's table."""
    if log2_size is None:
        return CounterNoise()

    is_full = world.is_replacement and world.node_rank > 0
    part = _NO_PART if is_full else world.node_rank
    began = time.monotonic()
    noise = create_table(seed, log2_size, problem.dimension, memory, part, world.node_size)
    world.table_s = (time.monotonic() - began) * world.node_size
    return noise


def _reopen(world: World, problem: Problem, log2_size: int | None) -> NodeMemory:
    """The shared files of a replacement's node: those of its leader, or new ones if there is no
    leader.
    """
    if world.address is None:
        return reserve(log2_size, problem.dimension)
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
    if isinstance(problem, EnvironmentProblem):
        problem.set_context(problem.context())
        problem.warm_up()
