"""Behaviour cloning: fit a policy to what an expert does (Pomerleau 1989, "ALVINN")."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.imitation.learner import Learner, LearnerSettings
from esengine.algorithms.imitation.recurrent_learner import examples_of
from esengine.algorithms.saved_state import SavedState
from esengine.checks import at_least, within
from esengine.demonstrations.trajectories import Demonstrations
from esengine.errors import UserError
from esengine.pool.pool import Pool


@dataclass(frozen=True)
class BehaviorCloningSettings(LearnerSettings):
    """Fit a policy to demonstrations; a generation is one pass over them, or more to reach
    --gradient-steps.
    """

    defaults: ClassVar[dict[str, Any]] = {
        "generations": 200,
        "policy": "mlp",
        "hidden_sizes": (32, 32),
        "eval_every": 50,
    }

    validation_fraction: float = 0.0
    """Fraction of the trajectories to hold out, rounded down; the policy with the lowest loss on
    them is kept.
    """
    patience: int = 50
    """Stop after this number of generations without a new minimum of the held-out loss; 0 never
    stops.
    """

    def check(self) -> None:
        super().check()
        if not self.demonstrations:
            raise UserError(
                "behavior-cloning needs --demonstrations, got none; collect some with esengine "
                "collect"
            )
        within(self, 0, 1, "validation_fraction", ends="[)", way_out="0 holds none out")
        at_least(self, 0, "patience", way_out="0 never stops early")


class BehaviorCloning(SavedState):
    """The method. It keeps the last policy, or the one with the lowest loss on held-out
    trajectories.

    Args:
        settings: checked settings.
        learner: a new learner.
        demonstrations: what to learn from.
        seed: the run's seed.
    """

    seconds: ClassVar[dict[str, float]] = {}
    saved = ("generation", "learner", "_best", "_best_loss", "_best_generation")
    varying_state = ("learner/adam/",)

    def __init__(
        self,
        settings: BehaviorCloningSettings,
        learner: Learner,
        demonstrations: Demonstrations,
        seed: int,
    ) -> None:
        self.settings = settings
        self.learner = learner
        self.generation = 0

        training, held_out = demonstrations.split(settings.validation_fraction, seed)
        self.examples = examples_of(learner.spec, training.trajectories, settings.every, seed)
        if not len(self.examples):
            raise UserError(
                f"the steps that are learned from must be labelled somewhere, got none with "
                f"--every {settings.every}"
            )
        self.held_out = examples_of(learner.spec, held_out) if held_out else None

        self._best = learner.parameters()
        self._best_loss = math.inf
        self._best_generation = 0
        self._losses: dict[str, float] = {}

    def step(self, pool: Pool, finished: dict[int, bytes]) -> tuple[int, int]:
        """Make the passes of a generation; return 0 and 0, its environment steps and episodes."""
        self._losses = {"loss": self.learner.fit(self.examples)}
        self.generation += 1
        if self.held_out is None:
            self._best = self.learner.parameters()
            return 0, 0

        loss = self.learner.mean_loss(self.held_out)
        self._losses["loss_held_out"] = loss
        if loss < self._best_loss:
            self._best = self.learner.parameters()
            self._best_loss = loss
            self._best_generation = self.generation
        return 0, 0

    def should_stop(self) -> str | None:
        patience = self.settings.patience
        waited = self.generation - self._best_generation
        if self.held_out is not None and patience and waited >= patience:
            return f"the held-out loss found no new minimum in {patience} generations"
        return None

    def parameters(self) -> NDArray[np.float32]:
        return self._best

    def metrics(self) -> dict[str, float]:
        return self._losses | self.learner.metrics() | {"labels": len(self.examples)}
