"""Members of a classic control task in lockstep, one member per lane.

The policy dominates the cost of a step, and with a member in each of `LANES` lanes every one of its
multiplications is one vector instruction. A lane whose episode ends takes the next episode at once,
so no lane waits for the longest. Each number is computed by the same operations in the same order
as for a member alone, so the results are the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.environments.classic_physics import (
    CARTPOLE,
    FIXED_HORIZON_CARTPOLE,
    MOUNTAIN_CAR,
    MOUNTAIN_CAR_CONTINUOUS,
    PENDULUM,
    move_cartpole,
    move_pendulum,
    observe,
    reset,
    sincos,
    step,
)
from esengine.policies import BOX, MIXTURE, decode, merge_moments
from esengine.policies.lanes import LANES, aligned, forward_in_lanes
from esengine.simulators.classic_rollouts import continue_episode

_NUMBERS = 8
"""Rows of LANES float64 numbers in one flat array, since loops over one array need no checks
whether arrays overlap: four of the state, then action, reward, whether the episode ended, and the
largest output.
"""
_ACTION, _REWARD, _ENDED, _BEST = 4 * LANES, 5 * LANES, 6 * LANES, 7 * LANES
_FEW = 5  # members that are faster one by one than in lanes of which most are idle


@kernel
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
        task, constant, max_steps: see `classic_rollouts.rollout`.
        seeds: (num_members, num_episodes).
        rows: (num_members, num_parameters) float32.
        policy: `Actor.compiled_arguments`, whose parameters are not used.
        statistics: packed observation moments of the chunk to add to, or an empty array; failed
            members add nothing.
        obs_dim: numbers in an observation.
        returns: (num_members, num_episodes) overwritten.
        steps: (num_members,) overwritten: of all episodes of a member.
    """
    num_members, num_episodes = seeds.shape
    numbers = np.zeros(_NUMBERS * LANES)
    members = np.full(LANES, -1)
    episodes = np.zeros(LANES, np.int64)
    counts = np.zeros(LANES, np.int64)
    moments = np.zeros((num_members, statistics.size))
    memories = aligned(policy[5].size)
    returns[:] = 0.0
    steps[:] = 0

    # Many members, in lanes
    for lane in range(min(LANES, num_members)):
        members[lane] = lane
        _begin(task, lane, seeds[lane, 0], numbers, counts, memories)
    if num_members > _FEW:
        lanes = (numbers, members, episodes, counts, memories)
        _run_lanes(
            task, constant, seeds, rows, max_steps, policy, obs_dim, lanes, moments, returns, steps
        )

    # The few that are left, one by one
    _, table, mean, inverse_std, hidden, memory, head, sampled, decoded = policy
    observation = np.zeros(obs_dim, np.float32)
    state = np.zeros(4)
    for lane in range(LANES):
        member = members[lane]
        first = episodes[lane]
        if member < 0:
            continue

        network = (table, mean, inverse_std, hidden, memory)
        alone = (rows[member], *network, head, sampled, decoded)
        for k in range(memory.size):
            memory[k] = memories[k, lane]
        for episode in range(first, num_episodes):
            seed = seeds[member, episode]
            if episode > first:
                _begin(task, lane, seed, numbers, counts, memories)
            for k in range(4):
                state[k] = numbers[k * LANES + lane]
            returns[member, episode], count, _ = continue_episode(
                task,
                constant,
                seed,
                state,
                returns[member, episode],
                counts[lane],
                max_steps,
                alone,
                moments[member],
                observation,
                None,
            )
            steps[member] += count

    for member in range(num_members):
        if statistics.size and np.isfinite(returns[member]).all():
            merge_moments(statistics, moments[member])


@kernel
def _run_lanes(
    task: int,
    constant: float,
    seeds: NDArray[np.uint64],
    rows: NDArray[np.float32],
    max_steps: int,
    policy: Any,
    obs_dim: int,
    lanes: Any,
    moments: NDArray[np.float64],
    returns: NDArray[np.float64],
    steps: NDArray[np.int64],
) -> None:
    """Run lanes until too few members are left that each is faster alone; ``lanes`` then holds
    these, and how far they are.

    Args:
        lanes: numbers (see `_NUMBERS`), members (LANES,) with -1 in idle lanes, their episodes
            (LANES,), steps so far (LANES,), states of their networks (state_size, LANES).
        moments: (num_members, num_statistics) added to.
        task, constant, seeds, rows, max_steps, policy, obs_dim, returns, steps: see `rollouts`.
    """
    _, table, mean, inverse_std, hidden, _, head, sampled, _ = policy
    numbers, members, episodes, counts, memories = lanes
    num_outputs = table[-1, 2]
    width = hidden.shape[1]
    weights = aligned(rows.shape[1])
    work = aligned(4 * width).reshape(4, width, LANES)
    observations = np.zeros((obs_dim, LANES), np.float32)
    partial = np.zeros((moments.shape[1], LANES))
    running = next_member = min(LANES, seeds.shape[0])
    for lane in range(running):
        _take(lane, lane, rows, weights, partial)

    while running > _FEW or next_member < seeds.shape[0]:
        _observe(task, numbers, observations)
        if moments.shape[1]:
            _accumulate(partial, observations)

        last = forward_in_lanes(weights, table, mean, inverse_std, observations, work, memories)
        outputs = work[last]
        if sampled or head[0] == MIXTURE:
            _draw(outputs, num_outputs, rows, seeds, policy, lanes)
        else:
            _choose(outputs, num_outputs, head, numbers)
        _step(task, constant, counts, numbers)

        for lane in range(LANES):
            member = members[lane]
            if member < 0:
                continue
            returns[member, episodes[lane]] += numbers[_REWARD + lane]
            counts[lane] += 1
            if numbers[_ENDED + lane] == 0.0 and counts[lane] < max_steps:
                continue

            steps[member] += counts[lane]
            episodes[lane] += 1
            if episodes[lane] == seeds.shape[1]:
                _keep_moments(partial, lane, moments[member])
                if next_member == seeds.shape[0]:
                    members[lane] = -1
                    running -= 1
                    continue
                _take(lane, next_member, rows, weights, partial)
                members[lane], episodes[lane] = next_member, 0
                next_member += 1
            _begin(task, lane, seeds[members[lane], episodes[lane]], numbers, counts, memories)

    for lane in range(LANES):
        if members[lane] >= 0:
            _keep_moments(partial, lane, moments[members[lane]])


@kernel
def _observe(task: int, numbers: NDArray[np.float64], observations: NDArray[np.float32]) -> None:
    """`classic_physics.observe` in every lane."""
    if task == PENDULUM:
        for lane in range(LANES):
            observations[1, lane], observations[0, lane] = sincos(numbers[lane])
        for lane in range(LANES):
            observations[2, lane] = numbers[LANES + lane]
        return
    if task in (CARTPOLE, FIXED_HORIZON_CARTPOLE, MOUNTAIN_CAR, MOUNTAIN_CAR_CONTINUOUS):
        flat = observations.ravel()  # the state itself
        for k in range(flat.size):
            flat[k] = numbers[k]
        return

    state = np.empty(4)
    observation = np.empty(observations.shape[0], np.float32)
    for lane in range(LANES):
        for k in range(4):
            state[k] = numbers[k * LANES + lane]
        observe(task, state, observation)
        for k in range(observation.size):
            observations[k, lane] = observation[k]


@kernel
def _accumulate(partial: NDArray[np.float64], observations: NDArray[np.float32]) -> None:
    """`normalizer.accumulate` in every lane; ``partial`` is (1 + 2 * obs_dim, LANES)."""
    inverse = np.empty(LANES)
    for lane in range(LANES):
        partial[0, lane] += 1.0
        inverse[lane] = 1.0 / partial[0, lane]
    size = observations.shape[0]
    for k in range(size):
        values, means, m2 = observations[k], partial[1 + k], partial[1 + size + k]
        for lane in range(LANES):
            delta = values[lane] - means[lane]
            means[lane] += delta * inverse[lane]
            m2[lane] += delta * (values[lane] - means[lane])


@kernel
def _draw(
    outputs: NDArray[np.float32],
    num_outputs: int,
    rows: NDArray[np.float32],
    seeds: NDArray[np.uint64],
    policy: Any,
    lanes: Any,
) -> None:
    """`policies.decode` in every lane, for a sampled policy or a mixture."""
    head, sampled, decoded = policy[6], policy[7], policy[8]
    numbers, members, episodes, counts, _ = lanes
    for lane in range(LANES):
        if members[lane] >= 0:
            log_stds = rows[members[lane]][rows.shape[1] - num_outputs :]  # of a box policy
            seed = seeds[members[lane], episodes[lane]]
            own = outputs[:num_outputs, lane].copy()
            decode(own, log_stds, head, sampled, seed, np.uint64(counts[lane]), decoded)
            numbers[_ACTION + lane] = decoded[0]


@kernel
def _choose(
    outputs: NDArray[np.float32], num_outputs: int, head: Any, numbers: NDArray[np.float64]
) -> None:
    """`policies.decode` in every lane, for one choice without a draw."""
    kind, _, low, high, center, reach = head
    if kind == BOX:
        least, most, middle, scale = low[0], high[0], center[0], reach[0]
        for lane in range(LANES):
            value = middle + scale * np.float64(outputs[0, lane])
            numbers[_ACTION + lane] = min(max(value, least), most)
        return

    for lane in range(LANES):
        numbers[_ACTION + lane] = 0.0
        numbers[_BEST + lane] = -np.inf
    for k in range(num_outputs):
        for lane in range(LANES):
            value = np.float64(outputs[k, lane])
            better = value > numbers[_BEST + lane]
            numbers[_ACTION + lane] = np.float64(k) if better else numbers[_ACTION + lane]
            numbers[_BEST + lane] = value if better else numbers[_BEST + lane]


@kernel
def _step(
    task: int, constant: float, counts: NDArray[np.int64], numbers: NDArray[np.float64]
) -> None:
    """`classic_physics.step` in every lane."""
    if task in (CARTPOLE, FIXED_HORIZON_CARTPOLE):
        endless = task == FIXED_HORIZON_CARTPOLE
        for lane in range(LANES):
            x, x_dot, theta, theta_dot, ended = move_cartpole(
                numbers[lane],
                numbers[LANES + lane],
                numbers[2 * LANES + lane],
                numbers[3 * LANES + lane],
                numbers[_ACTION + lane],
            )
            numbers[lane] = x
            numbers[LANES + lane] = x_dot
            numbers[2 * LANES + lane] = theta
            numbers[3 * LANES + lane] = theta_dot
            numbers[_REWARD + lane] = 0.0 if endless and ended else 1.0
            numbers[_ENDED + lane] = 0.0 if endless else np.float64(ended)
        return

    if task == PENDULUM:
        for lane in range(LANES):
            theta, theta_dot, reward = move_pendulum(
                numbers[lane], numbers[LANES + lane], numbers[_ACTION + lane], constant
            )
            numbers[lane] = theta
            numbers[LANES + lane] = theta_dot
            numbers[_REWARD + lane] = reward
            numbers[_ENDED + lane] = 0.0
        return

    state = np.empty(4)
    for lane in range(LANES):
        for k in range(4):
            state[k] = numbers[k * LANES + lane]
        numbers[_REWARD + lane], ended = step(
            task, state, numbers[_ACTION + lane], constant, counts[lane] == 0
        )
        numbers[_ENDED + lane] = np.float64(ended)
        for k in range(4):
            numbers[k * LANES + lane] = state[k]


@kernel
def _take(
    lane: int,
    member: int,
    rows: NDArray[np.float32],
    weights: NDArray[np.float32],
    partial: NDArray[np.float64],
) -> None:
    """Give a lane a member's parameters, and no observations yet."""
    for k in range(rows.shape[1]):
        weights[k, lane] = rows[member, k]
    for k in range(partial.shape[0]):
        partial[k, lane] = 0.0


@kernel
def _keep_moments(partial: NDArray[np.float64], lane: int, moments: NDArray[np.float64]) -> None:
    """Write a lane's column of ``partial`` to ``moments``."""
    for k in range(moments.size):
        moments[k] = partial[k, lane]


@kernel
def _begin(
    task: int,
    lane: int,
    seed: np.uint64,
    numbers: NDArray[np.float64],
    counts: NDArray[np.int64],
    memories: NDArray[np.float32],
) -> None:
    """Begin an episode in a lane."""
    state = np.empty(4)
    reset(task, seed, state)
    for k in range(4):
        numbers[k * LANES + lane] = state[k]
    for k in range(memories.shape[0]):
        memories[k, lane] = 0.0
    counts[lane] = 0
