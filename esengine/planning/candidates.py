"""One plan by all ranks: the candidates of each iteration are run by free workers, while the
master steps the episode.

That is for few episodes of an environment that is slow to simulate. A candidate's return depends on
its state and its controls alone, so these plans have the same bits as those of a rank that plans
alone.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates, PolicyEpisodes
from esengine.demonstrations.recording import Acting, Recorded, Recorder
from esengine.demonstrations.rounds import episode_seeds
from esengine.errors import NotFiniteError, WorkerError
from esengine.pool import Pool
from esengine.problems import EnvironmentProblem, Evaluated, Evaluator, new_records
from esengine.simulators import Dynamics, Transitions


class PlanCandidates(Evaluator):
    """The part of a problem whose ranks also run candidates for a plan.

    Args:
        dynamics: run them.
    """

    name = "plan"
    purpose = "plan"

    def __init__(self, dynamics: Dynamics) -> None:
        self.dynamics = dynamics

    def evaluate(self, candidates: Candidates, first: int, rows: NDArray[np.floating]) -> Evaluated:
        records = new_records(first, len(rows))
        size = self.dynamics.state_size
        state = np.array(rows[0, :size])
        shape = (candidates.population_size, -1, self.dynamics.low.size)
        controls = np.array(rows[0, size:]).reshape(shape)
        records["fitness"] = self.dynamics.returns(state, controls[first : first + len(rows)])
        return records, {}


def record_here(
    pool: Pool, acting: Acting, episodes: int, seed: int, number: int
) -> list[Recorded]:
    """Record on the master what `recording.record` records on all ranks; only the expert asks the
    pool.

    Raises:
        WorkerError: no episode has finite numbers alone.
    """
    problem = pool.rank_state.problem
    assert isinstance(problem, EnvironmentProblem)
    recorder = problem.part(Recorder)
    recorder.acting = acting
    found = []
    for own in episode_seeds(seed, number, episodes):
        with suppress(NotFiniteError):
            found.append(recorder.record(problem.actor, own))
    if not found:
        raise WorkerError(f"all {episodes} recorded episodes had a number that is not finite")
    return found


class PooledDynamics:
    """Dynamics whose candidates are run by all ranks; all else is done here.

    Args:
        dynamics: of the environment.
        pool: of a problem with `PlanCandidates` of the same dynamics.
    """

    def __init__(self, dynamics: Dynamics, pool: Pool) -> None:
        self._dynamics, self._pool, self._number = dynamics, pool, 0
        self.state_size, self.num_coordinates, self.smooth = (
            dynamics.state_size,
            dynamics.num_coordinates,
            dynamics.smooth,
        )
        self.low, self.high = dynamics.low, dynamics.high

    def state_of(
        self, env: gymnasium.Env[Any, Any], observation: Any = None
    ) -> NDArray[np.float64]:
        return self._dynamics.state_of(env, observation)

    def action_of(self, control: NDArray[np.float64]) -> Any:
        return self._dynamics.action_of(control)

    def control_of(self, action: Any) -> NDArray[np.float64]:
        return self._dynamics.control_of(action)

    def step(self, states: NDArray[np.float64], controls: NDArray[np.float64]) -> Transitions:
        return self._dynamics.step(states, controls)

    def returns(
        self, state: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        if len(controls) == 1:
            return self._dynamics.returns(state, controls)
        self._number += 1
        published = np.concatenate([state, controls.ravel()])
        episodes = PolicyEpisodes(0, self._number, len(controls), published, PlanCandidates.purpose)
        return np.array(self._pool.evaluate(episodes, merge=False).records["fitness"])
