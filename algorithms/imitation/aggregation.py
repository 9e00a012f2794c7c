"""What DAgger and DART share: rounds of recorded episodes, one growing set of them, and the best
round's policy kept.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.imitation.behavior_cloning import Examples, Learner, LearnerSettings
from esengine.algorithms.strategy import State
from esengine.candidates import PolicyEpisodes
from esengine.checks import at_least
from esengine.demonstrations.recording import Acting, Recorded, record
from esengine.demonstrations.trajectories import (
    Trajectory,
    Transitions,
    stacked,
    transitions_of,
    unstacked,
)
from esengine.errors import Interrupted, UserError
from esengine.policies.normalizer import RunningStatistics
from esengine.pool.pool import Pool
from esengine.problems import EnvironmentProblem


@dataclass(frozen=True)
class AggregationSettings(LearnerSettings):
    """Settings of methods that ask the expert again and again; a generation is one round."""

    defaults: ClassVar[dict[str, Any]] = {
        "generations": 15,
        "policy": "mlp",
        "hidden_sizes": (32, 32),
        "eval_every": 1,
    }

    expert: str | None = None
    """Who labels: a function of the observation, or an expert class, as module:name; or a policy
    file or a run directory.
    """
    planner: Literal["mppi", "cross-entropy", "ilqr"] | None = None
    """Who labels, instead: a planner, which plans every step in a copy of the environment's
    simulator.
    """
    planner_arg: tuple[str, ...] = ()
    """Settings of the planner, each name=value; for example horizon=50 num_candidates=256."""
    episodes_per_round: int = 5
    """Episodes that are recorded in a round."""
    epochs_per_round: int = 20
    """Passes over all examples so far after each round, or more, as --gradient-steps takes."""
    gradient_steps: int = 2000
    """Gradient steps after a round at least, in whole passes."""
    fresh_learner: bool = False
    """Fit a new policy after each round instead of going on with the last one."""
    max_labels: int | None = None
    """Stop after the round in which the expert has given so many labels."""
    validation_episodes: int = 20
    """Episodes whose mean return, from starts of their own, decides which round's policy is kept.
    """

    def check(self) -> None:
        super().check()
        at_least(self, 1, "episodes_per_round", "epochs_per_round", "validation_episodes")
        at_least(self, 1, "max_labels", way_out="leave it out for no limit")


class Aggregation(ABC):
    """Rounds: record episodes, learn from all of them, validate. A round is kept whole or not at
    all.

    Args:
        settings: checked settings.
        problem: of the pool; it gets the scaling of the first examples, for good.
        demonstrations: trajectories to begin with, or none.
        seed: the run's seed.
        initial: (num_parameters,) where the policy starts, or None.
    """

    seconds: ClassVar[dict[str, float]] = {}
    varying_state: ClassVar[tuple[str, ...]] = (
        "mean",
        "inverse_std",
        "learner/",
        "ensemble",
        "noise",
        "precisions",
        "trajectories/",
    )  # may be there or not

    def __init__(
        self,
        settings: AggregationSettings,
        problem: EnvironmentProblem,
        demonstrations: tuple[Trajectory, ...],
        seed: int,
        initial: NDArray[np.float32] | None = None,
    ) -> None:
        self.settings, self.problem, self.seed = settings, problem, seed
        self.generation = 0
        self.trajectories = list(demonstrations)
        self.num_given = len(demonstrations)
        self._initial = initial
        self._learner: Learner | None = None
        self._best = problem.policy.initial_parameters(seed) if initial is None else initial
        self._best_return = -math.inf
        self._labels = 0
        self._metrics: dict[str, float] = {}

    @abstractmethod
    def acting(self) -> Acting:
        """Who acts in the next round."""

    def learned(self, recorded: list[Recorded], learner: Learner | None) -> dict[str, float]:
        """Take from a new round what the next one needs; ``learner`` has not seen the round.
        Returns metrics.
        """
        return {}

    def step(self, pool: Pool, finished: dict[int, bytes]) -> tuple[int, int]:
        """One round; returns its steps and episodes.

        Args:
            pool: of the problem.
            finished: recorded episodes of this round that there are already; filled with those that
                arrive.

        Raises:
            Interrupted: a signal; ``finished`` holds what was recorded, all else is as it was
                before the round.
            WorkerError: the environment or the expert raised.
        """
        before, known = self.state(), len(self.trajectories)
        try:
            return self._round(pool, finished)
        except Interrupted:
            del self.trajectories[known:]
            self.restore(before)
            raise

    def _round(self, pool: Pool, finished: dict[int, bytes]) -> tuple[int, int]:
        settings, number = self.settings, self.generation + 1
        if self._learner is None and self.trajectories:  # demonstrations are the first examples
            self._learn()
        acting = self.acting()
        row = self._best if self._learner is None else self._learner.parameters()
        recorded = record(
            pool, row, acting, settings.episodes_per_round, self.seed, number, finished
        )
        self._metrics = self.learned(recorded, self._learner)
        self.trajectories += [one.trajectory for one in recorded]
        steps = sum(one.trajectory.num_steps for one in recorded)
        self._labels += sum(int(one.trajectory.labelled.sum()) for one in recorded)
        loss = self._learn()
        fired = sum(one.num_fired for one in recorded)
        self._metrics |= {"loss": loss, "labels": self._labels, "rule_rate": fired / steps}
        self._metrics["return_recorded"] = float(
            np.mean([one.trajectory.episode_return for one in recorded])
        )
        self._validate(pool)
        self.generation = number
        return steps, len(recorded)

    def _learn(self) -> float:
        """Fit the policy to everything so far; returns the mean loss of the last epoch."""
        rescaled = self._adopt_scaling()
        if rescaled or self._learner is None or self.settings.fresh_learner:
            self._learner = self.learner()
        if rescaled:
            self._best_return = -math.inf  # policies before have another scaling
        transitions = transitions_of(self.trajectories, self.settings.every, self.seed)
        if not len(transitions):
            raise UserError(
                "the expert must know what to do in some states, but labelled none; add "
                "--demonstrations"
            )
        return self._learner.fit(self.examples(transitions), self.settings.epochs_per_round)

    def examples(self, transitions: Transitions) -> Examples:
        """What the policy is fitted to."""
        return Examples.of(self.problem.policy, transitions)

    def learner(self, stream: int = 0) -> Learner:
        """A new learner; one of another stream starts elsewhere."""
        problem = self.problem
        return Learner(
            problem.policy,
            self.settings,
            self.seed,
            problem.scaling(),
            self._initial if stream == 0 else None,
            stream,
        )

    def _adopt_scaling(self) -> bool:
        """Scale by the statistics of what was recorded, unless the policy has a scaling of its own;
        returns whether it changed.

        It is kept while it holds. One demonstration may show a corner of the states alone, and what
        lies beyond is clipped.
        """
        if self._initial is not None or not self.problem.normalize_observations:
            return False
        seen = np.concatenate([one.observations[:-1] for one in self.trajectories])
        statistics = RunningStatistics(
            float(len(seen)), seen.mean(axis=0), len(seen) * seen.var(axis=0)
        )
        scaling = statistics.scale()
        if self._learner is not None and not outgrown(self.problem.scaling(), scaling):
            return False
        self.problem.adopt_scaling(*scaling)
        return True

    def _validate(self, pool: Pool) -> None:
        assert self._learner is not None
        row = self._learner.parameters()
        episodes = PolicyEpisodes(
            self.seed, 0, self.settings.validation_episodes, row, "validation"
        )
        mean = float(pool.evaluate(episodes).records["fitness"].mean())
        self._metrics["return_validated"] = mean
        if mean >= self._best_return:
            self._best, self._best_return = row, mean

    def should_stop(self) -> str | None:
        most = self.settings.max_labels
        return f"{self._labels} labels" if most is not None and self._labels >= most else None

    def parameters(self) -> NDArray[np.float32]:
        return self._best

    def metrics(self) -> dict[str, float]:
        return self._metrics | ({} if self._learner is None else self._learner.metrics())

    def state(self) -> State:
        state = {
            "generation": np.array(self.generation),
            "labels": np.array(self._labels),
            "best": self._best,
            "best_return": np.array(self._best_return),
        }
        arrays = stacked(self.trajectories)
        state |= {f"trajectories/{name}": array for name, array in arrays.items()}
        if self._learner is not None:
            mean, inverse_std = self.problem.scaling()
            state |= {"mean": mean, "inverse_std": inverse_std}
            state |= {f"learner/{name}": array for name, array in self._learner.state().items()}
        return state

    def restore(self, state: State) -> None:
        self.generation, self._labels = int(state["generation"]), int(state["labels"])
        arrays = {
            name.removeprefix("trajectories/"): array
            for name, array in state.items()
            if name.startswith("trajectories/")
        }
        self.trajectories = list(unstacked(arrays, "the checkpoint"))
        self._best, self._best_return = state["best"], float(state["best_return"])
        self._learner = None
        if "mean" in state:
            self.problem.adopt_scaling(state["mean"], state["inverse_std"])
            self._learner = self.learner()
            self._learner.restore(
                {name[8:]: array for name, array in state.items() if name.startswith("learner/")}
            )


Scaling = tuple[NDArray[np.float32], NDArray[np.float32]]


def outgrown(old: Scaling, new: Scaling) -> bool:
    """Whether a coordinate has twice the spread that it had, or its mean has moved by more than
    that.

    Args:
        old, new: mean and inverse standard deviation, (observation_dim,); the latter is 0 where
            nothing varied.
    """
    (old_mean, old_inverse), (new_mean, new_inverse) = old, new
    wider = (new_inverse > 0) & ((old_inverse == 0) | (old_inverse > 2 * new_inverse))
    return bool((wider | (np.abs(new_mean - old_mean) * old_inverse > 1)).any())
