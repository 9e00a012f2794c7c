"""Fitting a policy to what an expert does, by gradients: settings, examples, and the learner.

The loss is the mean squared error, or the negative log likelihood of a normal distribution, of
choices, or of a mixture of normal distributions (Bishop 1994, "Mixture density networks"). Use a
mixture for an expert that acts in one of several ways in the same state.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.adam_state import adam_state, restore_adam
from esengine.algorithms.strategy import State
from esengine.checks import at_least, not_negative, positive, within
from esengine.demonstrations.trajectories import Transitions
from esengine.errors import UserError
from esengine.policies.network import Actor, PolicySpec, check_compiled
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
    sequence_length: int = 32
    """Steps over which the gradients of a recurrent policy reach back; its state is carried on."""
    gradient_steps: int = 100
    """Least number of gradient steps per generation, rounded up to whole passes; small and large
    sets of demonstrations need about the same number.
    """

    def check(self) -> None:
        """Raises UserError for settings that fit nothing."""
        at_least(self, 1, "trajectories", way_out="leave it out for all")
        at_least(self, 1, "every", "sequence_length", "gradient_steps")
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
        if spec.components:
            check_compiled(spec, "--loss mixture")
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

    def fit(self, examples: Any, epochs: int = 1) -> float:
        """Make ``epochs`` passes, or more to reach --gradient-steps; return the mean loss of the
        last pass.
        """
        steps = math.ceil(len(examples) / (self.settings.batch_size or len(examples)))  # per pass
        passes = max(epochs, math.ceil(self.settings.gradient_steps / steps))
        return [self.epoch(examples) for _ in range(passes)][-1]

    def epoch(self, examples: Any) -> float:
        """Make one pass over the examples in an order drawn by the seed; return the mean loss."""
        settings = self.settings
        key = derive_key(self._seed, f"batches of learner {self._stream}", self.epochs)
        random = generator(key)
        for group in self._adam.param_groups:
            group["lr"] = settings.learning_rate * settings.learning_rate_decay**self.epochs

        total = 0.0
        for loss, num_steps in self.losses(examples, random):
            total += float(loss.detach()) * num_steps
            if settings.weight_decay:
                loss = loss + settings.weight_decay * (self.policy.flat**2).sum()
            self._adam.zero_grad()
            loss.backward()
            self._adam.step()

        self.epochs += 1
        return total / len(examples)

    def mean_loss(self, examples: Any) -> float:
        """Return the mean loss of examples, without learning from them."""
        import torch

        with torch.no_grad():
            losses = [float(loss) * count for loss, count in self.losses(examples)]
        return sum(losses) / len(examples)

    def losses(
        self, examples: Any, random: np.random.Generator | None = None
    ) -> Iterator[tuple[Any, int]]:
        """Yield the mean loss of each batch as a tensor, and its number of steps. The parameters
        may change in between.

        Args:
            examples: what `examples_of` returned for this policy.
            random: draws the batches, or None for all steps in order.
        """
        import torch

        count = len(examples)
        size = count if random is None else self.settings.batch_size or count
        order = np.arange(count) if random is None else random.permutation(count)
        for rows in torch.split(torch.tensor(order), size):
            weights = None if examples.weights is None else examples.weights[rows]
            outputs = self.policy.outputs(examples.observations[rows])
            yield self.loss_of(outputs, examples.targets[rows], weights), len(rows)

    def parameters(self) -> NDArray[np.float32]:
        """The parameters of the policy as it will act, (spec.num_parameters,)."""
        return self.policy.parameters()[: self.spec.num_parameters]

    def metrics(self) -> dict[str, float]:
        if self.loss != "gaussian":
            return {}
        return {"log_std": float(self.policy.log_stds(self.settings.least_log_std).detach().mean())}

    def act(self, observations: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the most likely actions, (num_steps, num_choices), as the environment takes them,
        at the observations of one episode.
        """
        spec = replace(self.spec, sampled=False)
        actor = Actor(spec, self.policy.parameters()[: spec.num_parameters], *self.policy.scaling)
        rows = observations.astype(np.float32)
        actions = [actor.act(row, step=step) for step, row in enumerate(rows)]
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

    def loss_of(self, outputs: Any, targets: Any, weights: Any = None) -> Any:
        """Return the mean loss of outputs, (batch, num_outputs), as a tensor."""
        if weights is not None:
            errors = outputs - targets
            return ((errors[:, None] @ weights @ errors[:, :, None]) / errors.shape[1]).mean()
        if self.loss == "mse":
            return ((outputs - targets) ** 2).mean()
        least = self.settings.least_log_std
        return -self.policy.log_densities_of(outputs, targets, least).mean()


def _spread(row: NDArray[np.float32], spec: PolicySpec, seed: int) -> None:
    """Draw the biases of a mixture's means over the range, since equal components stay equal."""
    components = spec.components
    size = spec.action.num_outputs
    biases = row[-spec.num_outputs :]
    random = generator(derive_key(seed, "components"))
    biases[components : components * (1 + size)] = random.uniform(-1, 1, components * size)
