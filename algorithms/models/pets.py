"""PETS: probabilistic ensembles with trajectory sampling (Chua, Calandra, McAllister, Levine 2018,
arXiv 1805.12114).

Each round records episodes in which a planner acts, and fits an ensemble of networks to all steps
so far. The planner of the next round plans in this model. In the first round of a run without
demonstrations there is no model yet, and actions are random.

We depart from the paper in two points. Rewards are learned, too. And a policy is fitted to what the
planner did in the newer half of all episodes, so that a run also gives a policy that acts in
microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.imitation.aggregation import Aggregation, AggregationSettings
from esengine.algorithms.imitation.recurrent_learner import AnyExamples, examples_of
from esengine.algorithms.models.ensemble_fit import EnsembleFit
from esengine.algorithms.planners import Planner, PlannerExpert
from esengine.algorithms.saved_state import with_prefix, without_prefix
from esengine.algorithms.strategy import State
from esengine.checks import at_least, positive
from esengine.demonstrations.recording import Acting
from esengine.environments import ActionSpec
from esengine.errors import UserError
from esengine.models import LearnedDynamics, LearnedModel, ModelSpec
from esengine.pool.pool import Pool
from esengine.seeding import derive_key, generator


@dataclass(frozen=True)
class PETSSettings(AggregationSettings):
    """Learn a model of the environment in rounds, and act by planning in it."""

    defaults: ClassVar[dict[str, Any]] = {**AggregationSettings.defaults, "generations": 50}

    planner: Literal["mppi", "cross-entropy", "ilqr"] | None = "cross-entropy"
    """The planner, mppi or cross-entropy; it plans every step in the learned model."""
    dynamics: Literal["simulator", "fitted", "learned"] = "learned"
    """What the planner plans in: always the model that the run learns."""
    episodes_per_round: int = 1
    """Number of episodes to record per round; 0 only fits the demonstrations."""
    epochs_per_round: int = 1
    """Number of passes of the policy over its examples after each round, or more to reach
    --gradient-steps.
    """
    gradient_steps: int = 500
    """Least number of the policy's gradient steps after each round, rounded up to whole passes."""
    num_members: int = 5
    """Number of networks in the ensemble."""
    model_hidden_sizes: tuple[int, ...] = (64, 64)
    """Units of each hidden layer of these networks."""
    model_steps: int = 1000
    """Number of gradient steps of the ensemble after each round."""
    model_batch_size: int = 256
    """Number of transitions of each network per gradient step."""
    model_learning_rate: float = 1e-3
    """Step size of Adam for the ensemble."""

    def check(self) -> None:
        super().check()
        positive(self, "model_learning_rate")
        at_least(self, 1, "num_members", "model_steps", "model_batch_size")
        if any(size < 1 for size in self.model_hidden_sizes):
            raise UserError(
                f"--model-hidden-sizes must be at least 1 each, got {self.model_hidden_sizes}; use "
                f"64 64"
            )
        planned = self.planner in ("mppi", "cross-entropy") and self.dynamics == "learned"
        if not planned or (self.expert, self.model) != (None, None):
            raise UserError(
                "pets needs --planner mppi or cross-entropy, and learns the model that it plans "
                "in, got another --planner, --dynamics, --expert or --model; drop it"
            )

    @property
    def least_episodes(self) -> int:
        return 0 if self.demonstrations else 1

    def spec(self, observation_dim: int, action: ActionSpec) -> ModelSpec:
        """Return the architecture of the model. Raises UserError for actions without one."""
        if action.kind not in ("box", "discrete"):
            raise UserError(
                f"pets needs box actions or one discrete choice, got {action.kind}; wrap the "
                f"environment"
            )
        return ModelSpec(observation_dim, action, self.model_hidden_sizes, self.num_members)


class ModelExpert(PlannerExpert):
    """An expert that plans in the model that the master has learned, and acts at random before
    there is one.

    Args:
        planner: makes the plans.
        dynamics: by any model of the right architecture.
    """

    dynamics: LearnedDynamics

    def __init__(self, planner: Planner, dynamics: LearnedDynamics) -> None:
        super().__init__(planner, dynamics)
        self._is_informed = False

    def inform(self, learned: NDArray[np.float32]) -> None:
        """Plan in a packed model from now on; if it is empty, act at random."""
        self._is_informed = learned.size > 0
        if self._is_informed:
            self.dynamics.use(LearnedModel.unpacked(self.dynamics.model.spec, learned))

    def begin(self, env: gymnasium.Env[Any, Any], seed: int) -> None:
        super().begin(env, seed)
        self._random = generator(derive_key(seed, "random actions"))

    def act(self, observation: Any) -> Any:
        if self._is_informed:
            return super().act(observation)
        return self.dynamics.action_of(self._random.uniform(self.dynamics.low, self.dynamics.high))


class PETS(Aggregation):
    """The method. Demonstrations are the model's first data, and the planner then acts from the
    first round on.

    Attributes:
        model: the newest model, or None before there is one.
    """

    varying_state = (*Aggregation.varying_state, "model/")
    settings: PETSSettings

    def __init__(self, settings: PETSSettings, *arguments: Any) -> None:
        super().__init__(settings, *arguments)
        spec = settings.spec(self.problem.observations.dim, self.problem.policy.action)
        rate, size = settings.model_learning_rate, settings.model_batch_size
        self._fit = EnsembleFit(spec, self.seed, rate, size)
        self._model_loss = 0.0
        self.model: LearnedModel | None = None

    def acting(self) -> Acting:
        learned = np.zeros(0, np.float32) if self.model is None else self.model.packed()
        return Acting(learned=learned)

    def _round(self, pool: Pool, finished: dict[int, bytes]) -> tuple[int, int]:
        if self.settings.episodes_per_round:
            return super()._round(pool, finished)

        # Demonstrations alone
        self._metrics = {"loss": self._learn(), "labels": 0, "rule_rate": 0.0}
        self._validate(pool)
        self.generation += 1
        return 0, 0

    def _learn(self) -> float:
        self._model_loss = self._fit.fit(self.trajectories, self.settings.model_steps)
        self.model = self._fit.model()
        return super()._learn()

    def examples(self) -> AnyExamples:
        """Return the newer half of the planner's actions; the older ones had worse models."""
        newer = self.trajectories[len(self.trajectories) // 2 :]
        return examples_of(self.problem.policy, newer, self.settings.every, self.seed)

    def metrics(self) -> dict[str, float]:
        return super().metrics() | {"model_loss": self._model_loss}

    def state(self) -> State:
        return super().state() | with_prefix("model/", self._fit.state())

    def restore(self, state: State) -> None:
        super().restore(state)
        self._fit.restore(without_prefix("model/", state))
        self.model = self._fit.model() if self._fit.is_fitted else None
