"""Who makes policies while a reward is learned: one contract, and behind it every strategy of the
project, and its `PPO`.

A generator is given a reward source, which stands in the pool's problem, and a budget, which is one
call of `improve`; it gives new policies and some of the steps that they met. Whoever learns the
reward sets the source of its `RewardedEpisodes` between calls and knows nothing of how policies are
made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.policy_gradient.ppo import PPO
from esengine.algorithms.strategy import State, Strategy
from esengine.errors import WorkerError
from esengine.policies.network import Actor
from esengine.pool.pool import Pool
from esengine.problems import FAILED, OK, EnvironmentProblem
from esengine.rewards.episodes import RewardedEpisodes, true_return
from esengine.rewards.sampling import Steps


@dataclass(frozen=True)
class Sampled:
    """Policies that are known exactly, and steps that they met.

    Attributes:
        rows: (num_policies, num_parameters) float32; or (0, num_parameters) of deterministic ones,
            which have no density.
        actor: their architecture and the scaling that they acted under.
        steps: (num_episodes, num_steps), equal shares of each policy.
    """

    rows: NDArray[np.float32]
    actor: Actor
    steps: Steps


class Improvement(NamedTuple):
    """What a call of `Generator.improve` gives.

    Attributes:
        sampled: some of the policies that it tried, and some of their steps.
        env_steps, episodes: what it took.
        metrics: for the row of the generation.
    """

    sampled: Sampled
    env_steps: int
    episodes: int
    metrics: dict[str, Any]


class Generator(Protocol):
    """Makes policies that the reward source of the pool's problem pays more.

    It is deterministic and never sees a rank: what `improve` gives is a function of the seed, the
    state and the source.
    """

    @property
    def generation(self) -> int:
        """Number of calls of `improve` so far."""

    @property
    def varying_state(self) -> tuple[str, ...]:
        """Beginnings of names of arrays that its state may have or lack."""

    def improve(self, pool: Pool, finished: dict[int, bytes]) -> Improvement:
        """Improve under the source as it is now, for the budget of one generation.

        Args:
            pool: of a problem with `RewardedEpisodes` that samples.
            finished: results of this generation that there are already; filled with those that
                arrive.

        Raises:
            Interrupted: a signal; ``finished`` holds what is done, and the state is as it was
                before.
            WorkerError: every member failed.
        """

    def parameters(self) -> NDArray[np.floating]:
        """The policy to use now, (num_parameters,)."""

    def should_stop(self) -> str | None:
        """Why there is nothing more to do, or None."""

    def metrics(self) -> dict[str, float]:
        """Numbers of its own for the row."""

    def state(self) -> State:
        """Everything that `restore` needs, as plain arrays."""

    def restore(self, state: State) -> None:
        """Become the generator that gave ``state``."""


class Evolution:
    """Any strategy as a generator: one generation a call, judged by the source, sampled as the
    problem says.

    Args:
        strategy: at its start.
    """

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy

    @property
    def generation(self) -> int:
        return self.strategy.generation

    @property
    def varying_state(self) -> tuple[str, ...]:
        return getattr(self.strategy, "varying_state", ())

    def improve(self, pool: Pool, finished: dict[int, bytes]) -> Improvement:
        problem = pool.rank_state.problem
        assert isinstance(problem, EnvironmentProblem)
        candidates = self.strategy.ask()
        evaluations = pool.evaluate(candidates, finished, merge=False)
        records = evaluations.records
        if not np.isfinite(evaluations.fitness).any():
            raise WorkerError(
                f"every member of generation {candidates.generation} failed: no fitness was finite"
            )
        population = pool.population()
        members, steps = problem.part(RewardedEpisodes).samples(evaluations)
        known = members.tolist() if problem.policy.sampled else []
        rows = np.array([population.row(member) for member in known], np.float32).reshape(
            -1, problem.dimension
        )
        self.strategy.tell(candidates, evaluations.fitness, population)
        sampled = Sampled(
            rows,
            Actor(problem.policy, np.zeros(problem.dimension, np.float32), *problem.scaling()),
            steps,
        )
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
    """`PPO` as a generator: a call is a round, whose episodes the source pays step by step."""

    def improve(self, pool: Pool, finished: dict[int, bytes]) -> Improvement:
        problem = pool.rank_state.problem
        assert isinstance(problem, EnvironmentProblem)
        actor = self.actor()
        env_steps, episodes = self.step(pool, finished)
        sampled = Sampled(
            actor.parameters[None],
            actor,
            problem.part(RewardedEpisodes).recorded(self.trajectories, self.generation),
        )
        return Improvement(
            sampled, env_steps, episodes, {"episode_return_mean": self.metrics()["return_recorded"]}
        )
