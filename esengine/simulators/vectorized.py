"""Environments that gymnasium offers as a vector: the members of a chunk step together, one per
lane.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.environments.spec import EnvironmentSpec
from esengine.policies import Actor, accumulate, decode, merge_moments
from esengine.policies.forward_pass import forward
from esengine.simulators.traces import Episode, TraceBuffer
from esengine.user_code import close, note_open

_MODE = gymnasium.VectorizeMode.VECTOR_ENTRY_POINT


def offers_vector(spec: EnvironmentSpec) -> bool:
    """Whether the environment has its own vector form, with plain arrays as observations."""
    with spec.opened() as env:
        space = env.observation_space
    registered = gymnasium.registry.get(spec.env_id.partition(":")[2] or spec.env_id)
    return bool(registered and registered.vector_entry_point) and isinstance(
        space, gymnasium.spaces.Box
    )


class VectorSimulator:
    """Runs members side by side in a vector environment.

    A vector takes one seed and draws all of its start states from it, so every member has its own
    start, which depends on the bounds of its chunk. A vector has as many lanes as there are
    members.

    Args:
        spec: an environment that `offers_vector`.
    """

    most_members = 256

    def __init__(self, spec: EnvironmentSpec) -> None:
        self._spec = spec
        self._envs: dict[int, Any] = {}

    def run(
        self,
        actor: Actor,
        seed: int,
        moments: NDArray[np.float64] | None = None,
        max_steps: int | None = None,
        trace: TraceBuffer | None = None,
    ) -> Episode:
        """Run one episode in a vector of one, which keeps no trace."""
        statistics = np.zeros(0) if moments is None else moments
        returns, steps = self.run_members(
            actor, actor.parameters[None], np.array([[seed]], np.uint64), statistics, max_steps
        )
        return Episode(float(returns[0, 0]), int(steps[0]))

    def run_members(
        self,
        actor: Actor,
        rows: NDArray[np.floating],
        seeds: NDArray[np.uint64],
        statistics: NDArray[np.float64],
        max_steps: int | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Run all episodes of many members, see `BatchSimulator`."""
        parameters = np.array(rows, np.float32, order="C")
        moments = np.zeros((len(rows), statistics.size))
        returns = np.zeros(seeds.shape)
        steps = np.zeros(len(rows), np.int64)
        for episode, seed in enumerate(seeds[0].tolist()):
            self._run_episode(
                actor, parameters, seed, moments, returns[:, episode], steps, max_steps
            )

        for lane in range(len(rows)):
            if statistics.size and np.isfinite(returns[lane]).all():
                merge_moments(statistics, moments[lane])
        return returns, steps

    def close(self) -> None:
        for env in self._envs.values():
            close(env)

    def _vector(self, num_lanes: int) -> Any:
        if num_lanes not in self._envs:
            arguments = self._spec.arguments
            self._envs[num_lanes] = gymnasium.make_vec(
                self._spec.env_id, num_envs=num_lanes, vectorization_mode=_MODE, **arguments
            )
            note_open(self._envs[num_lanes])
        return self._envs[num_lanes]

    def _run_episode(
        self,
        actor: Actor,
        parameters: NDArray[np.float32],
        seed: int,
        moments: NDArray[np.float64],
        returns: NDArray[np.float64],
        steps: NDArray[np.int64],
        max_steps: int | None,
    ) -> None:
        """Run one episode in every lane; a lane whose episode has ended is ignored."""
        env = self._vector(len(parameters))
        active = np.ones(len(parameters), np.bool_)
        decoded = np.zeros((active.size, len(actor.spec.action.sizes)))
        states = np.zeros((active.size, actor.network[4].size), np.float32)
        observations, _ = env.reset(seed=seed)

        step = 0
        while active.any() and step != max_steps:
            act_in_lanes(
                active,
                returns,
                parameters,
                np.asarray(observations, np.float32).reshape(active.size, -1),
                moments,
                actor.compiled_arguments,
                states,
                np.uint64(seed),
                step,
                decoded,
            )
            observations, rewards, terminated, truncated, _ = env.step(
                actor.spec.action.batch(decoded)
            )
            returns[active] += np.asarray(rewards, np.float64)[active]
            steps[active] += 1
            active &= ~(np.asarray(terminated) | np.asarray(truncated))
            step += 1


@kernel
def act_in_lanes(
    active: NDArray[np.bool_],
    returns: NDArray[np.float64],
    parameters: NDArray[np.float32],
    observations: NDArray[np.float32],
    moments: NDArray[np.float64],
    policy: Any,
    states: NDArray[np.float32],
    seed: np.uint64,
    step: int,
    decoded: NDArray[np.float64],
) -> None:
    """`policies.act` in every active lane, each with its own parameters.

    Args:
        active: (num_lanes,).
        returns: (num_lanes,) overwritten by NaN where an observation is not finite.
        parameters: (num_lanes, num_parameters).
        observations: (num_lanes, obs_dim).
        moments: (num_lanes, 1 + 2 * obs_dim) to add the observations to, or (num_lanes, 0).
        policy: `Actor.compiled_arguments`, whose parameters and state are not used.
        states: (num_lanes, state_size) of the networks, zero at the first step.
        seed: stream of sampled actions, one for all lanes, of which each lane has its own part.
        step: number of the step.
        decoded: (num_lanes, num_choices) overwritten where active.
    """
    _, table, mean, inverse_std, hidden, _, head, sampled, _ = policy
    for lane in range(active.size):
        if active[lane]:
            if moments.shape[1]:
                accumulate(moments[lane], observations[lane])
            if not np.isfinite(observations[lane]).all():
                returns[lane] = np.nan
            draw = np.uint64(step) * np.uint64(active.size) + np.uint64(lane)
            outputs, offset = forward(
                parameters[lane],
                table,
                observations[lane],
                mean,
                inverse_std,
                hidden,
                states[lane],
            )
            decode(outputs, parameters[lane][offset:], head, sampled, seed, draw, decoded[lane])
