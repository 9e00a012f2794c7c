"""The episodes of one environment: their settings, the policy that acts, and the simulator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.environments import EnvironmentSpec, ObservationSpec, Rules
from esengine.policies import Actor, PolicySpec, RunningStatistics
from esengine.problems.episodes import EpisodeSeeds, episode_seeds
from esengine.simulators import EnvBackend, Simulator, make_simulator

Scaling = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Mean and inverse standard deviation that observations are scaled by, both (num_observations,)."""


@dataclass
class EnvironmentEpisodes:
    """What the parts of a problem share: which episodes are run, and who acts in them.

    Args:
        environment: the environment.
        observations: how its observations are flattened.
        policy: the architecture that rows are parameters of.
        seed: the run's seed.
        episodes_per_member: episodes that a member's fitness is the mean of.
        episode_seeds: who meets the same start states within a generation: the two signs of a pair,
            everybody, or nobody.
        normalize_observations: scale observations by running mean and standard deviation.
        max_episode_steps: cut episodes, or None.
        fresh_env: make the environment anew for every episode, for environments whose reset does
            not forget.
        env_backend: see `simulators.make_simulator`.
        antithetic: whether members 2k and 2k + 1 are a pair.
        shield: rules that step in while policies act, in training and evaluation alike.

    Attributes:
        actor: the policy that acts next.
        statistics: of the observations of the search.
        progress: see `ProgressingProblem`.
    """

    environment: EnvironmentSpec
    observations: ObservationSpec
    policy: PolicySpec
    seed: int
    episodes_per_member: int = 1
    episode_seeds: EpisodeSeeds = "pair"
    normalize_observations: bool = True
    max_episode_steps: int | None = None
    fresh_env: bool = False
    env_backend: EnvBackend = "auto"
    antithetic: bool = False
    shield: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        self.statistics = RunningStatistics.empty(self.observations.dim)
        self._adopted: Scaling | None = None
        self._simulator: Simulator | None = None
        self.progress: Callable[[], None] | None = None
        mean, inverse_std = self.scaling()
        self.actor = Actor(self.policy, np.zeros(self.dimension, np.float32), mean, inverse_std)

    @property
    def dimension(self) -> int:
        return self.policy.num_parameters

    @property
    def observes(self) -> bool:
        """Whether observations are scaled by statistics that grow with the search."""
        return self.normalize_observations and self._adopted is None

    def recorded_env(self) -> gymnasium.Env[Any, Any] | None:
        """The environment that recorded episodes run in, or None for a plain one."""
        return None

    def scaling(self) -> Scaling:
        """Mean and inverse standard deviation that observations are scaled by now."""
        return self.statistics.scale() if self._adopted is None else self._adopted

    def adopt_scaling(self, mean: NDArray[np.float32], inverse_std: NDArray[np.float32]) -> None:
        """Scale as a given policy does, for good: its parameters mean nothing under another
        scaling.
        """
        self._adopted = (mean, inverse_std)

    @contextmanager
    def scaled_by(
        self, mean: NDArray[np.float32], inverse_std: NDArray[np.float32]
    ) -> Iterator[None]:
        """Scale otherwise within the ``with`` block, for a policy of another generation."""
        own = self._adopted
        self._adopted = (mean, inverse_std)
        try:
            yield
        finally:
            self._adopted = own

    def seeds(
        self, candidates: Candidates, members: NDArray[np.int64], num_episodes: int
    ) -> NDArray[np.uint64]:
        """Seeds of the members' episodes, (num_members, num_episodes)."""
        return episode_seeds(candidates, members, num_episodes, self.episode_seeds, self.antithetic)

    def simulator(self) -> Simulator:
        """The rank's simulator, made when it is first needed, or anew for every episode with
        ``fresh_env``.
        """
        if self._simulator is None or self.fresh_env:
            self.close_simulator()
            backend = "gymnasium" if self.policy.module else self.env_backend
            self._simulator = make_simulator(
                self.environment, self.observations, backend, self.shield
            )
        return self._simulator

    def close_simulator(self) -> None:
        """Close the rank's simulator, so that the next episode begins with a new one."""
        if self._simulator is not None:
            self._simulator.close()
            self._simulator = None
