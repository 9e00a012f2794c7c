"""Members of a classic control task in lockstep: one member a lane, a vector register a number of the policy.

The policy is what a step costs, and with a member in each of `LANES` lanes every one of its multiplications is one vector
instruction. A lane whose episode ends takes the next episode at once, so no lane waits for the longest. Each number is
computed by the same operations in the same order as for a member alone, so the results are the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from esengine.classic_kernels import go_on, observe, reset, step
from esengine.normalizer import accumulate, merge_moments
from esengine.policies import BOX, OBSERVATION_CLIP, decode, fast_tanh

LANES = 16  # float32 numbers of a 512-bit register
_FEW = 5  # members that are quicker one by one than in lanes of which most are idle


def _make_dot(num_outputs: int) -> Any:
    """An intrinsic that adds ``inputs @ weights`` to some neighbouring outputs of a layer, whose sums stay in registers.

    Numba's own loops over 16 lanes spend more on checks whether arrays overlap than on the sums.
    """

    @intrinsic
    def dot(typing_context: Any, inputs: Any, weights: Any, count: Any, width: Any, outputs: Any) -> Any:
        signature = types.void(*[types.intp] * 5)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vector = ir.VectorType(ir.FloatType(), LANES)
            inputs, weights, count, width, outputs = arguments
            integer = inputs.type

            def place(address: Any, index: Any) -> Any:
                offset = builder.mul(index, ir.Constant(integer, 4 * LANES))
                return builder.inttoptr(builder.add(address, offset), vector.as_pointer())

            sums = [cgutils.alloca_once(builder, vector) for _ in range(num_outputs)]
            for k, total in enumerate(sums):
                builder.store(builder.load(place(outputs, ir.Constant(integer, k)), align=4), total)
            with cgutils.for_range(builder, count) as loop:
                value = builder.load(place(inputs, loop.index), align=4)
                row = builder.mul(loop.index, width)
                for k, total in enumerate(sums):
                    weight = builder.load(place(weights, builder.add(row, ir.Constant(integer, k))), align=4)
                    builder.store(builder.fadd(builder.load(total), builder.fmul(value, weight)), total)
            for k, total in enumerate(sums):
                builder.store(builder.load(total), place(outputs, ir.Constant(integer, k)), align=4)
            return context.get_dummy_value()

        return signature, generate

    return dot


_dot_of_one, _dot_of_eight = _make_dot(1), _make_dot(8)


@njit(cache=True, error_model="numpy")
def forward_in_lanes(
    weights: NDArray[np.float32],
    sizes: NDArray[np.int64],
    observations: NDArray[np.float32],
    mean: NDArray[np.float32],
    inverse_std: NDArray[np.float32],
    hidden: NDArray[np.float32],
) -> int:
    """`policies.forward` in every lane; returns the row of ``hidden`` that holds the outputs.

    Args:
        weights: (num_parameters, LANES), a member a column.
        sizes: (num_layers + 1,) units of each layer, the observation first.
        observations: (obs_dim, LANES).
        mean, inverse_std: (obs_dim,).
        hidden: (2, max(sizes), LANES) working memory.
    """
    for k in range(sizes[0]):
        for lane in range(LANES):
            value = (observations[k, lane] - mean[k]) * inverse_std[k]
            hidden[0, k, lane] = min(max(value, -OBSERVATION_CLIP), OBSERVATION_CLIP)
    layer_weights, num_bytes = weights.ctypes.data, 4 * LANES
    first = 0
    for layer in range(sizes.size - 1):
        count, width = sizes[layer], sizes[layer + 1]
        values = hidden[(layer + 1) % 2, :width].ravel()
        biases = weights[first + count * width : first + (count + 1) * width].ravel()
        for k in range(values.size):
            values[k] = biases[k]
        inputs, outputs = hidden[layer % 2].ctypes.data, values.ctypes.data
        j = 0
        while j < width:
            if j + 8 <= width:
                _dot_of_eight(inputs, layer_weights + j * num_bytes, count, width, outputs + j * num_bytes)
                j += 8
            else:
                _dot_of_one(inputs, layer_weights + j * num_bytes, count, width, outputs + j * num_bytes)
                j += 1
        if layer < sizes.size - 2:
            for k in range(values.size):
                values[k] = fast_tanh(values[k])
        first += (count + 1) * width
        layer_weights += (count + 1) * width * num_bytes
    return (sizes.size - 1) % 2


@njit(cache=True, error_model="numpy")
def rollouts(
    task: int,
    constant: float,
    seeds: NDArray[np.uint64],
    rows: NDArray[np.float32],
    max_steps: int,
    policy: Any,
    statistics: NDArray[np.float64],
    obs_dim: int,
    returns: NDArray[np.float64],
    steps: NDArray[np.int64],
) -> None:
    """Run the episodes of many members.

    Args:
        task, constant, max_steps: see `classic_kernels.rollout`.
        seeds: (num_members, num_episodes).
        rows: (num_members, num_parameters) float32.
        policy: `Actor.compiled_arguments`, whose parameters are not used.
        statistics: packed observation moments of the chunk to add to, or an empty array; failed members add nothing.
        obs_dim: numbers in an observation.
        returns: (num_members, num_episodes) overwritten.
        steps: (num_members,) overwritten: of all episodes of a member.
    """
    num_members, num_episodes = seeds.shape
    states, moments = np.zeros((LANES, 4)), np.zeros((num_members, statistics.size))
    members, episodes, counts = np.full(LANES, -1), np.zeros(LANES, np.int64), np.zeros(LANES, np.int64)
    returns[:] = 0.0
    steps[:] = 0
    for lane in range(min(LANES, num_members)):
        members[lane] = lane
        _begin(task, lane, seeds[lane, 0], states, counts)
    if num_members > _FEW:
        lanes = (states, members, episodes, counts)
        _run_lanes(task, constant, seeds, rows, max_steps, policy, obs_dim, lanes, moments, returns, steps)
    _, sizes, mean, inverse_std, hidden, head, sampled, decoded = policy
    observation = np.zeros(obs_dim, np.float32)
    for lane in range(LANES):
        member, first = members[lane], episodes[lane]
        if member < 0:
            continue
        alone = (rows[member], sizes, mean, inverse_std, hidden, head, sampled, decoded)
        for episode in range(first, num_episodes):
            seed = seeds[member, episode]
            if episode > first:
                _begin(task, lane, seed, states, counts)
            total, count = returns[member, episode], counts[lane]
            returns[member, episode], count = go_on(
                task, constant, seed, states[lane], total, count, max_steps, alone, moments[member], observation
            )
            steps[member] += count
    for member in range(num_members):
        if statistics.size and np.isfinite(returns[member]).all():
            merge_moments(statistics, moments[member])


@njit(cache=True, error_model="numpy")
def _run_lanes(
    task: int,
    constant: float,
    seeds: NDArray[np.uint64],
    rows: NDArray[np.float32],
    max_steps: int,
    policy: Any,
    obs_dim: int,
    lanes: tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    moments: NDArray[np.float64],
    returns: NDArray[np.float64],
    steps: NDArray[np.int64],
) -> None:
    """Run lanes until so few members are left that each is quicker alone; ``lanes`` tells which, and how far they are.

    Args:
        lanes: states (LANES, 4), members (LANES,) with -1 in idle lanes, their episodes (LANES,), steps so far (LANES,).
        moments: (num_members, num_statistics) added to.
        task, constant, seeds, rows, max_steps, policy, obs_dim, returns, steps: see `rollouts`.
    """
    _, sizes, mean, inverse_std, hidden, head, sampled, decoded = policy
    states, members, episodes, counts = lanes
    weights = np.zeros((rows.shape[1], LANES), np.float32)
    work = np.zeros((2, hidden.shape[1], LANES), np.float32)
    observations, observation = np.zeros((obs_dim, LANES), np.float32), np.zeros(obs_dim, np.float32)
    running = next_member = min(LANES, seeds.shape[0])
    for lane in range(running):
        _take(lane, lane, rows, weights)
    while running > _FEW or next_member < seeds.shape[0]:
        for lane in range(LANES):
            if members[lane] >= 0:
                observe(task, states[lane], observation)
                if moments.shape[1]:
                    accumulate(moments[members[lane]], observation)
                for k in range(obs_dim):
                    observations[k, lane] = observation[k]
        outputs = work[forward_in_lanes(weights, sizes, observations, mean, inverse_std, work)]
        for lane in range(LANES):
            member = members[lane]
            if member < 0:
                continue
            seed = seeds[member, episodes[lane]]
            action = _action(lane, outputs, rows, member, sizes[-1], head, sampled, seed, counts[lane], decoded)
            gained, terminated = step(task, states[lane], action, constant, counts[lane] == 0)
            returns[member, episodes[lane]] += gained
            counts[lane] += 1
            if not terminated and counts[lane] < max_steps:
                continue
            steps[member] += counts[lane]
            episodes[lane] += 1
            if episodes[lane] == seeds.shape[1]:
                if next_member == seeds.shape[0]:
                    members[lane] = -1
                    running -= 1
                    continue
                _take(lane, next_member, rows, weights)
                members[lane], episodes[lane] = next_member, 0
                next_member += 1
            _begin(task, lane, seeds[members[lane], episodes[lane]], states, counts)


@njit(cache=True, error_model="numpy", inline="always")
def _action(
    lane: int,
    outputs: NDArray[np.float32],
    rows: NDArray[np.float32],
    member: int,
    num_outputs: int,
    head: Any,
    sampled: bool,
    seed: np.uint64,
    count: int,
    decoded: NDArray[np.float64],
) -> float:
    """The one number of a lane's action: `policies.decode`, without its arrays where nothing is drawn."""
    kind, _, low, high, center, reach = head
    action, best = 0.0, -np.inf
    if sampled:
        log_stds = rows[member][rows.shape[1] - num_outputs :]  # where a box policy keeps them
        decode(outputs[:num_outputs, lane].copy(), log_stds, head, True, seed, np.uint64(count), decoded)
        action = decoded[0]
    elif kind == BOX:
        action = min(max(center[0] + reach[0] * np.float64(outputs[0, lane]), low[0]), high[0])
    else:
        for k in range(num_outputs):
            if outputs[k, lane] > best:
                action, best = np.float64(k), np.float64(outputs[k, lane])
    return action


@njit(cache=True, error_model="numpy")
def _take(
    lane: int,
    member: int,
    rows: NDArray[np.float32],
    weights: NDArray[np.float32],
) -> None:
    """Give a lane a member's parameters."""
    for k in range(rows.shape[1]):
        weights[k, lane] = rows[member, k]


@njit(cache=True, error_model="numpy")
def _begin(task: int, lane: int, seed: np.uint64, states: NDArray[np.float64], counts: NDArray[np.int64]) -> None:
    """Begin an episode in a lane."""
    reset(task, seed, states[lane])
    counts[lane] = 0
