"""Behaviour cloning: fit a policy to what an expert does (Pomerleau 1989, "ALVINN").

The losses are the mean squared error, and the negative log likelihood of a normal distribution, of
choices, or of a mixture of normal distributions (Bishop 1994, "Mixture density networks"), which an
expert with two ways of doing a thing needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

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
    """How a policy is fitted; part of every imitation method's settings."""

    antithetic: ClassVar[bool] = False

    demonstrations: tuple[str, ...] = ()
    """Files of demonstrations: npz, folders of Minari datasets, or minari:ID."""
    trajectories: int | None = None
    """Use so many of the demonstrations, drawn by --seed; default all."""
    every: int = 1
    """Use one step in so many of each demonstration, from a first one drawn by --seed."""
    loss: Loss = "auto"
    """Auto is mse for box actions and categorical for choices; gaussian and mixture fit
    distributions of box actions.
    """
    components: int = 5
    """Normal distributions of a mixture."""
    least_log_std: float = -4.0
    """Floor of the log standard deviation of the gaussian loss, in halves of the action's range."""
    batch_size: int = 64
    """Steps of a gradient step; 0 takes all steps in every one."""
    learning_rate: float = 1e-3
    """Step size of Adam."""
    learning_rate_decay: float = 1.0
    """Factor on the learning rate after every epoch."""
    weight_decay: float = 0.0
    """Weight of the sum of squared parameters in the loss."""
    gradient_steps: int = 100
    """Gradient steps that a generation takes at least, in whole passes: few demonstrations need as
    many as many do.
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
        """The loss for a policy's actions. Raises UserError for one that does not fit them."""
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
    """Fit a policy to demonstrations; a generation is a pass over them, or as many passes as
    --gradient-steps takes.
    """

    defaults: ClassVar[dict[str, Any]] = {
        "generations": 200,
        "policy": "mlp",
        "hidden_sizes": (32, 32),
        "eval_every": 50,
    }

    validation_fraction: float = 0.0
    """Fraction of the trajectories, rounded down, whose loss decides which policy is kept; they are
    not learned from.
    """
    patience: int = 50
    """Stop after so many generations in which the held-out loss found no new minimum; 0 goes on."""

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
    """Observations and what is right there, as tensors of a policy's units.

    Attributes:
        observations: (num_examples, observation_dim) float32.
        targets: (num_examples, num_choices).
        weights: (num_examples, num_choices, num_choices) float32 W of squared errors e W e, or None
            for the identity.
    """

    observations: Any
    targets: Any
    weights: Any = None

    @classmethod
    def of(cls, spec: PolicySpec, transitions: Transitions) -> Examples:
        import torch

        from esengine.policies.torch_network import encode

        return cls(
            torch.tensor(transitions.observations.astype(np.float32)),
            encode(spec.action, transitions.targets),
        )

    def __len__(self) -> int:
        return len(self.observations)


class Learner:
    """A policy that is fitted by Adam, deterministically: a function of its seed, its stream and
    the examples.

    Args:
        spec: the policy's architecture.
        settings: how it is fitted.
        seed: the run's seed.
        scaling: mean and inverse standard deviation of observations.
        initial: (num_parameters,) where it starts, or None for a start of its own.
        stream: number of the learner, where several are fitted in one run.
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
        self.spec, self.settings, self.epochs = spec, settings, 0
        self._seed, self._stream = seed, stream
        fitted = replace(
            spec, sampled=self.loss == "gaussian"
        )  # its log standard deviations follow the network's parameters
        row = (
            fitted.initial_parameters(derive_key(seed, "learner", stream))
            if initial is None
            else initial
        )
        row = np.concatenate([row, np.zeros(fitted.num_parameters, np.float32)])[
            : fitted.num_parameters
        ]
        if initial is None and spec.components:
            _spread(row, spec, seed)
        self.policy = TorchPolicy(fitted, row, *scaling)
        self._adam = torch.optim.Adam([self.policy.flat], lr=settings.learning_rate, foreach=False)

    def fit(self, examples: Examples, epochs: int = 1) -> float:
        """So many passes, or as many more as --gradient-steps takes; returns the mean loss of the
        last one.
        """
        steps = math.ceil(len(examples) / (self.settings.batch_size or len(examples)))  # of a pass
        passes = max(epochs, math.ceil(self.settings.gradient_steps / steps))
        return [self.epoch(examples) for _ in range(passes)][-1]

    def epoch(self, examples: Examples) -> float:
        """One pass over the examples in an order drawn by seed; returns the mean loss."""
        import torch

        count = len(examples)
        size = self.settings.batch_size or count
        order = generator(
            derive_key(self._seed, f"batches of learner {self._stream}", self.epochs)
        ).permutation(count)
        shuffled = torch.tensor(order)
        for group in self._adam.param_groups:
            group["lr"] = (
                self.settings.learning_rate * self.settings.learning_rate_decay**self.epochs
            )
        total = 0.0
        for first in range(0, count, size):
            rows = shuffled[first : first + size]
            self._adam.zero_grad()
            weights = None if examples.weights is None else examples.weights[rows]
            loss = self._loss(examples.observations[rows], examples.targets[rows], weights)
            total += float(loss.detach()) * len(rows)
            penalty = (
                self.settings.weight_decay * (self.policy.flat**2).sum()
                if self.settings.weight_decay
                else 0.0
            )
            (loss + penalty).backward()
            self._adam.step()
        self.epochs += 1
        return total / count

    def mean_loss(self, examples: Examples) -> float:
        import torch

        with torch.no_grad():
            return float(self._loss(examples.observations, examples.targets, examples.weights))

    def parameters(self) -> NDArray[np.float32]:
        """Parameters of the policy as it will act, (spec.num_parameters,)."""
        return self.policy.parameters()[: self.spec.num_parameters]

    def metrics(self) -> dict[str, float]:
        if self.loss != "gaussian":
            return {}
        return {"log_std": float(self.policy.log_stds(self.settings.least_log_std).detach().mean())}

    def act(self, observations: NDArray[np.float64]) -> NDArray[np.float64]:
        """Most likely actions, (batch, num_choices), as the environment takes them."""
        spec = replace(self.spec, sampled=False)
        actor = Actor(spec, self.policy.parameters()[: spec.num_parameters], *self.policy.scaling)
        return np.array(
            [self.spec.action.flat(actor.act(row)) for row in observations.astype(np.float32)]
        )

    def state(self) -> State:
        """Parameters, moments and counters, as plain arrays."""
        moments = self._adam.state.get(self.policy.flat, {})
        return {"epochs": np.array(self.epochs), "parameters": self.policy.parameters()} | {
            f"adam/{name}": moments[name].numpy().copy() for name in moments
        }

    def restore(self, state: State) -> None:
        """Become the learner that gave ``state``."""
        import torch

        self.epochs = int(state["epochs"])
        with torch.no_grad():
            self.policy.flat.copy_(torch.tensor(state["parameters"]))
        moments = {
            name[5:]: torch.tensor(array)
            for name, array in state.items()
            if name.startswith("adam/")
        }
        self._adam.state.clear()
        if moments:
            self._adam.state[self.policy.flat] = moments

    def _loss(self, observations: Any, targets: Any, weights: Any) -> Any:
        if weights is not None:
            errors = self.policy.outputs(observations) - targets
            return ((errors[:, None] @ weights @ errors[:, :, None]) / errors.shape[1]).mean()
        if self.loss == "mse":
            return ((self.policy.outputs(observations) - targets) ** 2).mean()
        return -self.policy.log_densities(observations, targets, self.settings.least_log_std).mean()


class BehaviorCloning:
    """Passes over demonstrations; the last policy is kept, or that with the least loss on
    trajectories that are held out.

    Args:
        settings: checked settings.
        learner: starts from nothing.
        demonstrations: what is learned from.
        seed: the run's seed.
    """

    seconds: ClassVar[dict[str, float]] = {}
    varying_state: ClassVar[tuple[str, ...]] = (
        "learner/adam/",
    )  # arrays that a state may have or lack

    def __init__(
        self,
        settings: BehaviorCloningSettings,
        learner: Learner,
        demonstrations: Demonstrations,
        seed: int,
    ) -> None:
        self.settings, self.learner = settings, learner
        self.generation = 0
        training, held_out = demonstrations.split(settings.validation_fraction, seed)
        self.examples = Examples.of(learner.spec, training.transitions(settings.every, seed))
        if not len(self.examples):
            raise UserError(
                f"the steps that are learned from must be labelled somewhere, got none with "
                f"--every {settings.every}"
            )
        self.held_out = Examples.of(learner.spec, transitions_of(held_out)) if held_out else None
        self._best, self._best_loss, self._best_generation = learner.parameters(), math.inf, 0
        self._losses: dict[str, float] = {}

    def step(self, pool: Pool, finished: dict[int, bytes]) -> tuple[int, int]:
        """A generation's passes; they take no steps and no episodes of the environment."""
        self._losses = {"loss": self.learner.fit(self.examples)}
        self.generation += 1
        if self.held_out is None:
            self._best = self.learner.parameters()
            return 0, 0
        self._losses["loss_held_out"] = loss = self.learner.mean_loss(self.held_out)
        if loss < self._best_loss:
            self._best, self._best_loss, self._best_generation = (
                self.learner.parameters(),
                loss,
                self.generation,
            )
        return 0, 0

    def should_stop(self) -> str | None:
        patience = self.settings.patience
        if (
            self.held_out is not None
            and patience
            and self.generation - self._best_generation >= patience
        ):
            return f"the held-out loss found no new minimum in {patience} generations"
        return None

    def parameters(self) -> NDArray[np.float32]:
        return self._best

    def metrics(self) -> dict[str, float]:
        return self._losses | self.learner.metrics() | {"labels": len(self.examples)}

    def state(self) -> State:
        best = {"best": self._best, "best_loss": np.array(self._best_loss)}
        best["best_generation"] = np.array(self._best_generation)
        learner = {f"learner/{name}": array for name, array in self.learner.state().items()}
        return {"generation": np.array(self.generation)} | best | learner

    def restore(self, state: State) -> None:
        self.generation, self._best_generation = (
            int(state["generation"]),
            int(state["best_generation"]),
        )
        self._best, self._best_loss = state["best"], float(state["best_loss"])
        self.learner.restore(
            {name[8:]: array for name, array in state.items() if name.startswith("learner/")}
        )


def _spread(row: NDArray[np.float32], spec: PolicySpec, seed: int) -> None:
    """Set a mixture's components apart, since equal ones would stay equal: the biases of their
    means, over the range.
    """
    components, size = spec.components, spec.action.num_outputs
    biases = row[-spec.num_outputs :]
    random = generator(derive_key(seed, "components"))
    biases[components : components * (1 + size)] = random.uniform(-1, 1, components * size)
