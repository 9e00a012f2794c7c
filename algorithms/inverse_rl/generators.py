"""Generators of policies for reward learning: the contract, any strategy as a generator, and `PPO`
as a generator.

A generator improves its policies under the reward source of the pool's problem. One call of
`improve` is one generation; it returns some of the policies and of their steps. The method that
learns the reward sets the source of its `RewardedEpisodes` between calls. It does not depend on how
policies are made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.policy_gradient.ppo import PPO
from esengine.algorithms.strategy import Method, State, Strategy
from esengine.errors import WorkerError
from esengine.policies.network import Actor, PolicySpec
from esengine.pool.pool import Pool
from esengine.problems import FAILED, OK, EnvironmentProblem
from esengine.rewards import RewardedEpisodes, Steps, true_return


@dataclass(frozen=True)
class Sampled:
    """Sampled policies and steps of their episodes.

    Attributes:
        rows: (num_policies, num_parameters) float32; (0, num_parameters) for deterministic
            policies, which have no density.
        actor: the architecture of the policies and the scaling that they acted under.
        steps: along one axis, as many draws of each policy.
    """

    rows: NDArray[np.float32]
    actor: Actor
    steps: Steps


class Improvement(NamedTuple):
    """The result of `Generator.improve`.

    Attributes:
        sampled: some of the policies that were evaluated, and some of their steps.
        env_steps, episodes: numbers of environment steps and episodes.
        metrics: for the generation's row.
    """

    sampled: Sampled
    env_steps: int
    episodes: int
    metrics: dict[str, Any]


class Generator(Method, Protocol):
    """The contract of generators, which improve policies under a reward source.

    The result of `improve` depends only on the seed, the state and the source, not on the ranks.
    """

    @property
    def varying_state(self) -> tuple[str, ...]:
        """The beginnings of the names of arrays that its state may have or lack."""

    def acting(self, policy: PolicySpec) -> PolicySpec:
        """The architecture that its policies act with, given that of the policy to return."""

    def improve(self, pool: Pool, finished: dict[int, bytes]) -> Improvement:
        """Improve the policies for one generation under the current source.

        Args:
            pool: the pool of a problem with `RewardedEpisodes` that samples.
            finished: results of this generation that were evaluated before; new ones are added.

        Raises:
            Interrupted: a signal arrived; ``finished`` has the results so far, and the state is as
                before.
            WorkerError: every member failed.
        """


class Evolution:
    """Any strategy as a generator; a call of `improve` is one generation of the strategy.

    Args:
        strategy: a new strategy.
    """

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy

    @property
    def generation(self) -> int:
        return self.strategy.generation

    @property
    def varying_state(self) -> tuple[str, ...]:
        return getattr(self.strategy, "varying_state", ())

    def acting(self, policy: PolicySpec) -> PolicySpec:
        return policy

    def improve(self, pool: Pool, finished: dict[int, bytes]) -> Improvement:
        problem = pool.rank_state.problem
        assert isinstance(problem, EnvironmentProblem)

        # Evaluate
        candidates = self.strategy.ask()
        evaluations = pool.evaluate(candidates, finished, merge=False)
        records = evaluations.records
        if not np.isfinite(evaluations.fitness).any():
            raise WorkerError(
                f"every member of generation {candidates.generation} failed: no fitness was finite"
            )

        # Sample, as the problem says
        population = pool.population()
        members, steps = problem.part(RewardedEpisodes).samples(evaluations)
        known = members.tolist() if problem.policy.sampled else []
        rows = np.array([population.row(member) for member in known], np.float32)
        actor = Actor(problem.policy, np.zeros(problem.dimension, np.float32), *problem.scaling())
        sampled = Sampled(rows.reshape(-1, problem.dimension), actor, steps)

        # Learn
        self.strategy.tell(candidates, evaluations.fitness, population)
        pool.merge(evaluations)

        fitness = records["fitness"][records["status"] == OK]
        metrics = {
            "population_size": self.strategy.population_size,
            "fitness_mean": float(fitness.mean()),
            "fitness_max": float(fitness.max()),
            "fitness_std": float(fitness.std()),
            "episode_return_mean": true_return(evaluations.arrays),
            "failed_members": int(np.sum(records["status"] == FAILED)),
        }
        return Improvement(
            sampled, int(records["steps"].sum()), int(records["episodes"].sum()), metrics
        )

    def parameters(self) -> NDArray[np.floating]:
        return self.strategy.parameters()

    def should_stop(self) -> str | None:
        return self.strategy.should_stop()

    def metrics(self) -> dict[str, float]:
        return self.strategy.metrics()

    def state(self) -> State:
        return self.strategy.state()

    def restore(self, state: State) -> None:
        self.strategy.restore(state)


class PolicyGradient(PPO):
    """`PPO` as a generator: a call of `improve` is one round under the source's rewards. Its
    policies draw their actions.
    """

    def acting(self, policy: PolicySpec) -> PolicySpec:
        return replace(policy, sampled=True)

    def improve(self, pool: Pool, finished: dict[int, bytes]) -> Improvement:
        actor = self.actor()
        env_steps, episodes = self.step(pool, finished)
        steps = self.problem.part(RewardedEpisodes).recorded(self.trajectories)
        sampled = Sampled(actor.parameters[None], actor, steps)
        metrics = {"episode_return_mean": self.metrics()["return_recorded"]}
        return Improvement(sampled, env_steps, episodes, metrics)
