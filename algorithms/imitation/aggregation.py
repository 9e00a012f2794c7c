"""What methods that ask an expert in rounds share: recorded episodes, a growing data set, and the
policy of the best round.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.imitation.learner import Learner, LearnerSettings
from esengine.algorithms.imitation.recurrent_learner import (
    AnyExamples,
    examples_of,
    make_learner,
)
from esengine.algorithms.saved_state import SavedState, with_prefix, without_prefix
from esengine.algorithms.strategy import State
from esengine.candidates import PolicyEpisodes
from esengine.checks import at_least
from esengine.demonstrations.recording import Acting, Recorded
from esengine.demonstrations.rounds import record
from esengine.demonstrations.stacked_trajectories import stacked, unstacked
from esengine.demonstrations.trajectories import Trajectory
from esengine.errors import Interrupted, UserError
from esengine.policies.normalizer import reach_scale
from esengine.pool.pool import Pool
from esengine.problems import EnvironmentProblem


@dataclass(frozen=True)
class AggregationSettings(LearnerSettings):
    """The settings of methods that ask an expert in rounds; a generation is one round."""

    defaults: ClassVar[dict[str, Any]] = {
        "generations": 15,
        "policy": "mlp",
        "hidden_sizes": (32, 32),
        "eval_every": 1,
    }

    expert: str | None = None
    """The expert: a function of the observation or an expert class as module:name, a policy file,
    or a run directory.
    """
    planner: Literal["mppi", "cross-entropy", "ilqr"] | None = None
    """A planner as the expert; it plans every step in a copy of the environment's simulator."""
    dynamics: Literal["simulator", "fitted", "learned"] = "simulator"
    """What the planner plans in: a copy of the simulator; for ilqr, local models that are fitted to
    rollouts from the same start; for mppi and cross-entropy, the learned --model.
    """
    model: str | None = None
    """The learned model, a run directory of pets or a model file."""
    planner_arg: tuple[str, ...] = ()
    """Settings of the planner, each name=value; for example horizon=50 num_candidates=256."""
    episodes_per_round: int = 5
    """Number of episodes to record per round."""
    epochs_per_round: int = 20
    """Number of passes over all examples after each round, or more to reach --gradient-steps."""
    gradient_steps: int = 2000
    """Least number of gradient steps after each round, rounded up to whole passes."""
    fresh_learner: bool = False
    """Fit a new policy after each round instead of continuing with the last one."""
    max_labels: int | None = None
    """Stop after the round in which the expert's labels reach this number."""
    validation_episodes: int = 20
    """Number of episodes per round, from separate start states, whose mean return decides which
    policy is kept.
    """

    def check(self) -> None:
        super().check()
        at_least(self, self.least_episodes, "episodes_per_round")
        at_least(self, 1, "epochs_per_round", "validation_episodes")
        at_least(self, 1, "max_labels", way_out="leave it out for no limit")

    @property
    def least_episodes(self) -> int:
        """The least number of episodes per round."""
        return 1


class Aggregation(SavedState, ABC):
    """Base class: each round records episodes, learns from all episodes so far, and validates.

    An interrupted round changes nothing.

    Args:
        settings: checked settings.
        problem: the pool's problem; it takes the scaling of the first examples.
        demonstrations: trajectories to start with, or none.
        seed: the run's seed.
        initial: (num_parameters,) first policy, or None for a random one.
    """

    seconds: ClassVar[dict[str, float]] = {}
    saved: ClassVar[tuple[str, ...]] = ("generation", "_labels", "_best", "_best_return")
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
        self.settings = settings
        self.problem = problem
        self.seed = seed
        self.generation = 0
        self.trajectories = list(demonstrations)
        self.num_given = len(demonstrations)
        self._initial = initial
        self._learner: Learner | None = None
        self._best = problem.policy.initial_parameters(seed) if initial is None else initial
        self._best_return = -math.inf
        self._labels = 0
        self._metrics: dict[str, float] = {}
        self._experts_own = (0, 0)  # steps and episodes that the expert ran in this round

    @abstractmethod
    def acting(self) -> Acting:
        """Return who acts in the next round."""

    def learned(self, recorded: list[Recorded], learner: Learner | None) -> dict[str, float]:
        """Take from a new round what the next one needs, and return metrics.

        Args:
            recorded: the episodes of the round.
            learner: the learner, which has not seen the round, or None.
        """
        return {}

    def step(self, pool: Pool, finished: dict[int, bytes]) -> tuple[int, int]:
        """Run one round and return its numbers of steps and episodes.

        Args:
            pool: the pool of the problem.
            finished: episodes of this round that were recorded before; new ones are added.

        Raises:
            Interrupted: a signal arrived; ``finished`` has the recorded episodes, and all else is
                as before the round.
            WorkerError: the environment or the expert raised.
        """
        before = self.state()
        known = len(self.trajectories)
        try:
            return self._round(pool, finished)
        except Interrupted:
            del self.trajectories[known:]
            self.restore(before)
            raise

    def _round(self, pool: Pool, finished: dict[int, bytes]) -> tuple[int, int]:
        settings = self.settings
        number = self.generation + 1
        if self._learner is None and self.trajectories:  # demonstrations are the first examples
            self._learn()

        # Record
        acting = self.acting()
        row = self._best if self._learner is None else self._learner.parameters()
        recorded = record(
            pool, row, acting, settings.episodes_per_round, self.seed, number, finished
        )
        trajectories = [one.trajectory for one in recorded]

        # Learn
        self._metrics = self.learned(recorded, self._learner)
        self.trajectories += trajectories
        self._labels += sum(int(one.labelled.sum()) for one in trajectories)
        loss = self._learn()

        # Validate and report
        steps = sum(one.num_steps for one in trajectories)
        fired = sum(one.num_fired for one in recorded)
        self._metrics |= {"loss": loss, "labels": self._labels, "rule_rate": fired / steps}
        returns = [one.episode_return for one in trajectories]
        self._metrics["return_recorded"] = float(np.mean(returns))
        self._validate(pool)
        self.generation = number
        own_steps, own_episodes = self._experts_own
        return steps + own_steps, len(recorded) + own_episodes

    def _learn(self) -> float:
        """Fit the policy to all examples so far; return the mean loss of the last pass."""
        rescaled = self._adopt_scaling()
        if rescaled or self._learner is None or self.settings.fresh_learner:
            self._learner = self.learner()
        if rescaled:
            self._best_return = -math.inf  # earlier policies have another scaling

        examples = self.examples()
        if not len(examples):
            raise UserError(
                "the expert must know what to do in some states, but labelled none; add "
                "--demonstrations"
            )
        return self._learner.fit(examples, self.settings.epochs_per_round)

    def examples(self) -> AnyExamples:
        """Return the examples that the policy is fitted to."""
        settings = self.settings
        return examples_of(self.problem.policy, self.trajectories, settings.every, self.seed)

    def learner(self, stream: int = 0) -> Learner:
        """Return a new learner; learners of other streams start from other parameters."""
        problem = self.problem
        return make_learner(
            problem.policy,
            self.settings,
            self.seed,
            problem.scaling(),
            self._initial if stream == 0 else None,
            stream,
        )

    def _adopt_scaling(self) -> bool:
        """Scale by the reach of all observations, unless the policy came with a scaling. Return
        whether the scaling changed.

        The scaling changes only when it is outgrown: one demonstration may show only a small part
        of the states, and observations far outside of it are clipped.
        """
        if self._initial is not None or not self.problem.normalize_observations:
            return False
        scaling = reach_scale(np.concatenate([one.observations[:-1] for one in self.trajectories]))

        if self._learner is not None and not outgrown(self.problem.scaling(), scaling):
            return False
        self.problem.adopt_scaling(*scaling)
        return True

    def _validate(self, pool: Pool) -> None:
        assert self._learner is not None
        row = self._learner.parameters()
        count = self.settings.validation_episodes
        episodes = PolicyEpisodes(self.seed, 0, count, row, "validation")
        mean = float(pool.evaluate(episodes).records["fitness"].mean())
        self._metrics["return_validated"] = mean
        if mean >= self._best_return:
            self._best = row
            self._best_return = mean

    def should_stop(self) -> str | None:
        most = self.settings.max_labels
        return f"{self._labels} labels" if most is not None and self._labels >= most else None

    def parameters(self) -> NDArray[np.float32]:
        return self._best

    def metrics(self) -> dict[str, float]:
        return self._metrics | ({} if self._learner is None else self._learner.metrics())

    def state(self) -> State:
        state = super().state() | with_prefix("trajectories/", stacked(self.trajectories))
        if self._learner is not None:
            mean, inverse_std = self.problem.scaling()
            state |= {"mean": mean, "inverse_std": inverse_std}
            state |= with_prefix("learner/", self._learner.state())
        return state

    def restore(self, state: State) -> None:
        super().restore(state)
        trajectories = without_prefix("trajectories/", state)
        self.trajectories = list(unstacked(trajectories, "the checkpoint"))
        self._learner = None
        if "mean" in state:
            self.problem.adopt_scaling(state["mean"], state["inverse_std"])
            self._learner = self.learner()
            self._learner.restore(without_prefix("learner/", state))


Scaling = tuple[NDArray[np.float32], NDArray[np.float32]]


def outgrown(old: Scaling, new: Scaling) -> bool:
    """Return whether some coordinate's reach has more than doubled, or its mean has moved by more
    than the old reach.

    Args:
        old, new: mean and inverse reach, (observation_dim,) each; the inverse is 0 for coordinates
            that did not vary.
    """
    old_mean, old_inverse = old
    new_mean, new_inverse = new
    wider = (new_inverse > 0) & ((old_inverse == 0) | (old_inverse > 2 * new_inverse))
    return bool((wider | (np.abs(new_mean - old_mean) * old_inverse > 1)).any())
