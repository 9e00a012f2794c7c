"""Rounds of recorded episodes, on all ranks: a given number of episodes, or as many as have a given
number of steps.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import PolicyEpisodes
from esengine.demonstrations.recording import PURPOSE, Acting, Recorded, Recorder
from esengine.demonstrations.trajectories import Trajectory
from esengine.errors import UserError
from esengine.pool.pool import Pool
from esengine.problems import FAILED, EnvironmentProblem, Evaluations
from esengine.seeding import derive_key, derive_seeds

_FEW = 8
"""Episodes of a round up to which any may fail."""


def record(
    pool: Pool,
    parameters: NDArray[np.floating],
    acting: Acting,
    episodes: int,
    seed: int,
    number: int = 0,
    finished: dict[int, bytes] | None = None,
) -> list[Recorded]:
    """Record episodes on all ranks, in the order of episodes.

    Args:
        pool: of a problem with a `Recorder`.
        parameters: (num_parameters,) the policy.
        acting: who acts.
        episodes: how many.
        seed: of the run.
        number: of the round, of which the episodes' seeds are a function.
        finished: see `Pool.evaluate`.

    Raises:
        Interrupted: a signal asked to stop; ``finished`` holds what is done.
        UserError: the expert does what the environment has no place for, or no rule knows what to
            do.
        WorkerError: the environment, the expert or a rule raised, or a number was not finite, in
            more episodes than may fail.

    Returns:
        The episodes that did not fail, in order.
    """
    evaluations = _evaluate(pool, parameters, acting, episodes, seed, number, finished)
    pool.check_failed(number, [evaluations], least=1)
    return _recorded(evaluations, episode_seeds(seed, number, episodes))


def record_steps(
    pool: Pool,
    parameters: NDArray[np.floating],
    acting: Acting,
    num_steps: int,
    longest: int | None,
    seed: int,
    number: int,
    finished: dict[int, bytes],
) -> list[Trajectory]:
    """Record episodes until they have a number of steps, in waves.

    The first wave is for episodes of the longest length. Each later one at most doubles the
    episodes, and is for the steps that are missing at the mean length so far.

    Args:
        pool, parameters, acting, seed, number: see `record`.
        num_steps: of all episodes together, at least.
        longest: steps of an episode, or None if nothing limits them.
        finished: results by episode of the round; new ones are added.

    Raises:
        Interrupted, UserError, WorkerError: see `record`.
    """
    trajectories: list[Trajectory] = []
    waves: list[Evaluations] = []
    known = 0  # episodes of earlier waves
    size = math.ceil(num_steps / (longest or num_steps))
    for wave in itertools.count():
        # A wave counts its results from 0
        own = {unit - known: result for unit, result in finished.items() if unit >= known}
        try:
            waves.append(_evaluate(pool, parameters, acting, size, seed, number, own, wave))
        finally:
            finished.update({known + unit: result for unit, result in own.items()})

        known += size
        if known >= _FEW:  # one of few may fail
            pool.check_failed(number, waves, least=1)
        recorded = _recorded(waves[-1], episode_seeds(seed, number, size, wave))
        trajectories += [one.trajectory for one in recorded]
        recorded_steps = sum(one.num_steps for one in trajectories)
        if recorded_steps >= num_steps:
            break
        if trajectories:
            missing = (num_steps - recorded_steps) * len(trajectories) / recorded_steps
            size = min(math.ceil(missing), len(trajectories))
    return trajectories


def _evaluate(
    pool: Pool,
    parameters: NDArray[np.floating],
    acting: Acting,
    episodes: int,
    seed: int,
    number: int,
    finished: dict[int, bytes] | None,
    wave: int = 0,
) -> Evaluations:
    """Run the episodes of a round, or of a wave of it, on all ranks; see `record`."""
    problem = pool.rank_state.problem
    assert isinstance(problem, EnvironmentProblem)
    problem.part(Recorder).acting = acting
    row = np.asarray(parameters, np.float32)
    candidates = PolicyEpisodes(seed, number, episodes, row, _purpose(wave))
    evaluations = pool.evaluate(candidates, finished, merge=False)
    pool.num_failed += evaluations.num_failed
    for failure in evaluations.failures:
        if failure.get("of_user"):
            raise UserError(failure["error"])
    return evaluations


def _recorded(evaluations: Evaluations, seeds: list[int]) -> list[Recorded]:
    """The episodes that did not fail, in order."""
    return [
        Recorded.from_arrays(
            {name: array[episode] for name, array in evaluations.arrays.items()}, own
        )
        for episode, own in enumerate(seeds)
        if evaluations.records["status"][episode] != FAILED
    ]


def episode_seeds(seed: int, number: int, episodes: int, wave: int = 0) -> list[int]:
    """The seeds that the episodes 0, 1, ... of a recorded round, or of a wave of it, have."""
    key = np.uint64(derive_key(seed, _purpose(wave), number))
    return derive_seeds(key, np.arange(episodes), 1)[:, 0].tolist()


def _purpose(wave: int) -> str:
    return f"{PURPOSE} wave {wave}" if wave else PURPOSE
