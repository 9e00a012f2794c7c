"""Behaviour cloning: fit a policy to what an expert does (Pomerleau 1989, "ALVINN").

The loss is the mean squared error, or the negative log likelihood of a normal distribution, of
choices, or of a mixture of normal distributions (Bishop 1994, "Mixture density networks"). Use a
mixture for an expert that acts in one of several ways in the same state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.adam_state import adam_state, restore_adam
from esengine.algorithms.saved_state import SavedState
from esengine.algorithms.strategy import State
from esengine.checks import at_least, not_negative, positive, within
from esengine.demonstrations.trajectories import Demonstrations, Transitions, transitions_of
from esengine.errors import UserError
from esengine.policies.network import Actor, PolicySpec
from esengine.pool.pool import Pool
from esengine.seeding import derive_key, generator

Loss = Literal["auto", "mse", "gaussian", "categorical", "mixture"]


@dataclass(frozen=True)
class LearnerSettings:
    """The settings of fitting a policy, which every imitation method has."""

    antithetic: ClassVar[bool] = False

    demonstrations: tuple[str, ...] = ()
    """Files of demonstrations: npz, folders of Minari datasets, or minari:ID."""
    trajectories: int | None = None
    """Number of demonstrations to use, drawn by --seed; default all."""
    every: int = 1
    """Use every n-th step of each demonstration, from a first step drawn by --seed."""
    loss: Loss = "auto"
    """Loss: auto is mse for box actions and categorical for choices; gaussian and mixture fit
    distributions of box actions.
    """
    components: int = 5
    """Number of normal distributions in a mixture."""
    least_log_std: float = -4.0
    """Lower bound of the log standard deviation of the gaussian loss, relative to half the action's
    range.
    """
    batch_size: int = 64
    """Number of steps per gradient step; 0 uses all steps."""
    learning_rate: float = 1e-3
    """Step size of Adam."""
    learning_rate_decay: float = 1.0
    """Factor on the learning rate after every epoch."""
    weight_decay: float = 0.0
    """Weight of the sum of squared parameters in the loss."""
    gradient_steps: int = 100
    """Least number of gradient steps per generation, rounded up to whole passes; small and large
    sets of demonstrations need about the same number.
    """

    def check(self) -> None:
        """Raises UserError for settings that fit nothing."""
        at_least(self, 1, "trajectories", way_out="leave it out for all")
        at_least(self, 1, "every", "gradient_steps")
        at_least(self, 2, "components")
        at_least(self, 0, "batch_size")
        positive(self, "learning_rate")
        within(self, 0, 1, "learning_rate_decay", ends="(]", way_out="1 keeps the rate")
        not_negative(self, "weight_decay", way_out="0 adds nothing")

    def loss_of(self, spec: PolicySpec) -> str:
        """Return the loss for a policy's actions. Raises UserError if it does not fit them."""
        box = spec.action.kind == "box"
        if self.loss == "auto":
            return "mse" if box else "categorical"
        if box != (self.loss != "categorical"):
            wanted = "mse, gaussian or mixture" if box else "categorical"
            raise UserError(
                f"--loss must be {wanted} for {spec.action.kind} actions, got {self.loss}; auto "
                f"chooses"
            )
        return self.loss


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


@dataclass(frozen=True)
class Examples:
    """Observations and the right actions, as tensors in a policy's units.

    Attributes:
        observations: (num_examples, observation_dim) float32.
        targets: (num_examples, num_choices).
        weights: (num_examples, num_choices, num_choices) float32 W of the squared errors e' W e, or
            None for the identity.
    """

    observations: Any
    targets: Any
    weights: Any = None

    @classmethod
    def of(cls, spec: PolicySpec, transitions: Transitions) -> Examples:
        """Return the examples of a policy's observations and targets, without weights."""
        import torch

        from esengine.policies.torch_network import encode

        return cls(
            torch.tensor(transitions.observations.astype(np.float32)),
            encode(spec.action, transitions.targets),
        )

    def __len__(self) -> int:
        return len(self.observations)


class Learner:
    """A policy that Adam fits to examples. The result depends only on the seed, the stream and the
    examples.

    Args:
        spec: the policy's architecture.
        settings: the settings of the fit.
        seed: the run's seed.
        scaling: mean and inverse standard deviation of observations.
        initial: (num_parameters,) first parameters, or None to draw them.
        stream: number of the learner, if a run fits several.
    """

    def __init__(
        self,
        spec: PolicySpec,
        settings: LearnerSettings,
        seed: int,
        scaling: tuple[NDArray[np.float32], NDArray[np.float32]],
        initial: NDArray[np.float32] | None = None,
        stream: int = 0,
    ) -> None:
        import torch

        from esengine.policies.torch_network import TorchPolicy

        self.loss = settings.loss_of(spec)
        self.spec = spec
        self.settings = settings
        self.epochs = 0
        self._seed = seed
        self._stream = stream

        # The gaussian loss also fits log standard deviations, which follow the other parameters
        fitted = replace(spec, sampled=self.loss == "gaussian")
        size = fitted.num_parameters
        row = initial
        if row is None:
            row = fitted.initial_parameters(derive_key(seed, "learner", stream))
        row = np.concatenate([row, np.zeros(size, np.float32)])[:size]
        if initial is None and spec.components:
            _spread(row, spec, seed)
        self.policy = TorchPolicy(fitted, row, *scaling)
        self._adam = torch.optim.Adam([self.policy.flat], lr=settings.learning_rate, foreach=False)

    def fit(self, examples: Examples, epochs: int = 1) -> float:
        """Make ``epochs`` passes, or more to reach --gradient-steps; return the mean loss of the
        last pass.
        """
        steps = math.ceil(len(examples) / (self.settings.batch_size or len(examples)))  # per pass
        passes = max(epochs, math.ceil(self.settings.gradient_steps / steps))
        return [self.epoch(examples) for _ in range(passes)][-1]

    def epoch(self, examples: Examples) -> float:
        """Make one pass over the examples in an order drawn by the seed; return the mean loss."""
        import torch

        settings = self.settings
        count = len(examples)
        key = derive_key(self._seed, f"batches of learner {self._stream}", self.epochs)
        shuffled = torch.tensor(generator(key).permutation(count))
        for group in self._adam.param_groups:
            group["lr"] = settings.learning_rate * settings.learning_rate_decay**self.epochs

        total = 0.0
        for rows in torch.split(shuffled, settings.batch_size or count):
            weights = None if examples.weights is None else examples.weights[rows]
            loss = self._loss(examples.observations[rows], examples.targets[rows], weights)
            total += float(loss.detach()) * len(rows)
            if settings.weight_decay:
                loss = loss + settings.weight_decay * (self.policy.flat**2).sum()
            self._adam.zero_grad()
            loss.backward()
            self._adam.step()

        self.epochs += 1
        return total / count

    def mean_loss(self, examples: Examples) -> float:
        """Return the mean loss of examples, without learning from them."""
        import torch

        with torch.no_grad():
            return float(self._loss(examples.observations, examples.targets, examples.weights))

    def parameters(self) -> NDArray[np.float32]:
        """The parameters of the policy as it will act, (spec.num_parameters,)."""
        return self.policy.parameters()[: self.spec.num_parameters]

    def metrics(self) -> dict[str, float]:
        if self.loss != "gaussian":
            return {}
        return {"log_std": float(self.policy.log_stds(self.settings.least_log_std).detach().mean())}

    def act(self, observations: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the most likely actions, (batch, num_choices), as the environment takes them."""
        spec = replace(self.spec, sampled=False)
        actor = Actor(spec, self.policy.parameters()[: spec.num_parameters], *self.policy.scaling)
        actions = [actor.act(row) for row in observations.astype(np.float32)]
        return np.array([spec.action.flat(action) for action in actions])

    def state(self) -> State:
        """Parameters, Adam's moments and the number of epochs, as plain arrays."""
        return {
            "epochs": np.array(self.epochs),
            "parameters": self.policy.parameters(),
            **adam_state(self._adam, {"adam/": self.policy.flat}),
        }

    def restore(self, state: State) -> None:
        """Become the learner that gave ``state``."""
        import torch

        self.epochs = int(state["epochs"])
        with torch.no_grad():
            self.policy.flat.copy_(torch.tensor(state["parameters"]))
        restore_adam(self._adam, {"adam/": self.policy.flat}, state)

    def _loss(self, observations: Any, targets: Any, weights: Any) -> Any:
        if weights is not None:
            errors = self.policy.outputs(observations) - targets
            return ((errors[:, None] @ weights @ errors[:, :, None]) / errors.shape[1]).mean()
        if self.loss == "mse":
            return ((self.policy.outputs(observations) - targets) ** 2).mean()
        return -self.policy.log_densities(observations, targets, self.settings.least_log_std).mean()


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
        self.examples = Examples.of(learner.spec, training.transitions(settings.every, seed))
        if not len(self.examples):
            raise UserError(
                f"the steps that are learned from must be labelled somewhere, got none with "
                f"--every {settings.every}"
            )
        self.held_out = Examples.of(learner.spec, transitions_of(held_out)) if held_out else None

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


def _spread(row: NDArray[np.float32], spec: PolicySpec, seed: int) -> None:
    """Draw the biases of a mixture's means over the range, since equal components stay equal."""
    components = spec.components
    size = spec.action.num_outputs
    biases = row[-spec.num_outputs :]
    random = generator(derive_key(seed, "components"))
    biases[components : components * (1 + size)] = random.uniform(-1, 1, components * size)
