"""A network that distinguishes an expert's steps from a generator's, and whose logit is a reward
(Ho, Ermon 2016, arXiv 1606.03476).

The logit is L = g(s, a) for GAIL, and L = g + discount h(s') - h(s) - log pi(a | s) for AIRL. With
D = 1 / (1 + exp(-L)) the loss is -mean log D over the expert's steps, plus -mean log(1 - D) over
the generator's. Four regularisers can be switched on: a penalty on the gradient between expert and
generator (Gulrajani et al. 2017, arXiv 1704.00028), spectral norms of 1 (Miyato et al. 2018, arXiv
1802.05957), dropout and weight decay.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from esengine.algorithms.adam_state import adam_state, restore_adam
from esengine.algorithms.inverse_rl.settings import DiscriminatorSettings, RewardNetworkSettings
from esengine.algorithms.strategy import State
from esengine.policies.forward_pass import input_bounds
from esengine.policies.torch_network import TorchNetwork
from esengine.rewards import LearnedReward, Steps
from esengine.seeding import derive_key, generator

Offsets = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64] | None]


class Examples(NamedTuple):
    """Steps as a discriminator's tensors.

    Attributes:
        inputs: (num_steps, num_inputs) standardised inputs of the reward.
        states, next_states: (num_steps, num_states) standardised inputs of the potential, or
            (num_steps, 0) if there is no potential.
        next_absorbing: (num_steps,) float32, 1 if the next state is absorbing, where the potential
            is 0.
        offsets: (num_steps,) float32, subtracted from the logit: log pi(a | s), or 0.
        weights: (num_steps,) float64, the number of steps that each stands for.
    """

    inputs: torch.Tensor
    states: torch.Tensor
    next_states: torch.Tensor
    next_absorbing: torch.Tensor
    offsets: torch.Tensor
    weights: torch.Tensor

    @property
    def absorbing(self) -> torch.Tensor:
        """Whether each state is the absorbing one, (num_steps,)."""
        return self.inputs[:, -1] == 1

    def at(self, rows: torch.Tensor) -> Examples:
        """Return the examples of some rows."""
        return Examples(*(part[rows] for part in self))

    @classmethod
    def joined(cls, parts: list[Examples]) -> Examples:
        """Return the examples of all parts, one after another."""
        return cls(*(torch.cat(column) for column in zip(*parts, strict=True)))


class Draws:
    """Steps that batches are drawn from, by their weights.

    The absorbing state is a single point, so it is not drawn. It has its share of the loss.

    Args:
        examples: the steps.
        size: of a batch; 0 takes all steps, by their weights.
        weights: (num_steps,) float64, how often each is drawn; default those of the examples.

    Attributes:
        examples: the steps.
        absorbing_share: of the absorbing state in the weight of all steps.
    """

    def __init__(
        self, examples: Examples, size: int, weights: NDArray[np.float64] | None = None
    ) -> None:
        self.examples = examples
        self.size = size
        weights = examples.weights.numpy() if weights is None else weights
        self._acted = np.flatnonzero(~examples.absorbing.numpy())
        self._sums = np.cumsum(weights[self._acted])
        self.absorbing_share = max(0.0, 1 - float(self._sums[-1] / weights.sum()))

    def rows(self, random: np.random.Generator) -> NDArray[np.int64]:
        """Return the rows of a new batch, (num_rows,)."""
        if self.size == 0:
            return self._acted
        drawn = random.random(self.size) * self._sums[-1]
        places = np.searchsorted(self._sums, drawn, side="right")
        return self._acted[np.minimum(places, len(self._acted) - 1)]

    def mean(self, values: torch.Tensor, of_absorbing: torch.Tensor) -> torch.Tensor:
        """Return the mean over all steps of a quantity, from a batch and the absorbing state.

        Args:
            values: (num_rows,) of a batch.
            of_absorbing: of the absorbing state.
        """
        mean = values.mean()
        if self.size == 0:
            weights = np.diff(self._sums, prepend=0.0) / self._sums[-1]
            mean = (values * torch.tensor(weights.astype(np.float32))).sum()
        share = self.absorbing_share
        return (1 - share) * mean + share * of_absorbing


class RewardNetwork(TorchNetwork):
    """A learned reward as a differentiable network of standardised inputs.

    Args:
        reward: the architecture and the first parameters.
        spectral_norm: see `DiscriminatorSettings`.
    """

    def __init__(self, reward: LearnedReward, spectral_norm: bool) -> None:
        spec = reward.spec
        nothing = (np.zeros(spec.num_inputs, np.float32), np.ones(spec.num_inputs, np.float32))
        super().__init__(spec.layers, reward.parameters, *nothing)
        self.num_inputs = spec.num_inputs
        self._reward = reward
        self._spectral_norm = spectral_norm

        # While dropout is on: (batch, units) for the inputs and each hidden layer
        self.masks: list[torch.Tensor] = []

    def layers(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        layers = super().layers()
        if not self._spectral_norm:
            return layers
        return [
            (weights / torch.linalg.matrix_norm(weights, 2).clamp(min=1e-6), biases)
            for weights, biases in layers
        ]

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits, (batch,), of inputs (batch, num_inputs)."""
        values = inputs
        layers = self.layers()
        for layer, (weights, biases) in enumerate(layers):
            if self.masks:
                values = values * self.masks[layer]
            values = torch.addmm(biases, values, weights)
            if layer < len(layers) - 1:
                values = torch.tanh(values)
        return values[:, 0]

    def reward(self) -> LearnedReward:
        """Return the reward as workers compute it, with the spectral norms divided out."""
        with torch.no_grad():
            parts = [part.reshape(-1) for layer in self.layers() for part in layer]
        return replace(self._reward, parameters=torch.cat(parts).detach().numpy().copy())

    def standardised(
        self, steps: Steps, absorbing: NDArray[np.bool_], states: NDArray[np.float32]
    ) -> torch.Tensor:
        """Return inputs as the kernel `rewards.score` computes them, (num_steps, num_inputs).

        An absorbing state is zeros and a 1.
        """
        reward = self._reward
        spec = reward.spec
        inputs = spec.inputs(states, spec.beside(steps.choices, steps.next_observations))
        rows = (inputs - reward.input_mean) * reward.input_inverse_std
        bounds = input_bounds(reward.input_mean, reward.input_inverse_std)
        rows = np.clip(rows, -bounds, bounds)
        rows[absorbing] = 0
        rows[absorbing, -1] = 1
        return torch.tensor(rows)


class Discriminator:
    """The networks of the reward and, if there is one, of the potential, with their training.

    Args:
        settings: checked settings.
        seed: the run's seed.
        reward: the first reward.
        potential: the first potential, or None.
        discount: gamma of the potential's differences.
    """

    def __init__(
        self,
        settings: RewardNetworkSettings,
        seed: int,
        reward: LearnedReward,
        potential: LearnedReward | None = None,
        discount: float = 1.0,
    ) -> None:
        self.settings = settings
        self._seed = seed
        self._discount = discount

        self.network = RewardNetwork(reward, settings.spectral_norm)
        self._leaves = {"reward": self.network.flat}
        self.potential: RewardNetwork | None = None
        if potential is not None:
            self.potential = RewardNetwork(potential, settings.spectral_norm)
            self._leaves["potential"] = self.potential.flat
        self._adam = torch.optim.Adam(
            list(self._leaves.values()), lr=settings.reward_learning_rate, foreach=False
        )

    def examples(self, steps: Steps) -> Examples:
        """Return steps as tensors, with offsets of 0."""
        inputs = self.network.standardised(steps, steps.absorbing, steps.observations)
        next_absorbing = torch.tensor(steps.next_absorbing.astype(np.float32))
        rest = (next_absorbing, torch.zeros(steps.num_rows), torch.tensor(steps.weights))
        if self.potential is None:
            return Examples(inputs, inputs[:, :0], inputs[:, :0], *rest)
        here = self.potential.standardised(steps, steps.absorbing, steps.observations)
        there = self.potential.standardised(steps, steps.next_absorbing, steps.next_observations)
        return Examples(inputs, here, there, *rest)

    def logits(self, examples: Examples) -> torch.Tensor:
        """Return L of each step, (num_steps,)."""
        logits = self.network.logits(examples.inputs) - examples.offsets
        if self.potential is None:
            return logits

        alive = 1 - examples.states[:, -1]  # the potential of the absorbing state is 0
        here = alive * self.potential.logits(examples.states)
        there = (1 - examples.next_absorbing) * self.potential.logits(examples.next_states)
        return logits + self._discount * there - here

    def absorbing_logit(self) -> torch.Tensor:
        """Return L in the absorbing state, where the potential is 0."""
        state = torch.zeros(1, self.network.num_inputs)
        state[0, -1] = 1
        return self.network.logits(state)[0]

    def random(self, generation: int, step: int) -> np.random.Generator:
        """Return the generator of random numbers of a gradient step."""
        return generator(derive_key(self._seed, "reward batches", generation), step)

    def fit(
        self,
        expert: Draws,
        generated: Draws,
        generation: int,
        offsets: Offsets = lambda expert, generated: None,
    ) -> dict[str, float]:
        """Take gradient steps; return metrics of the last step's batch.

        L is the log ratio of two densities over the horizon. On acted steps it is the log ratio of
        the shares of acted steps, which are counted, plus that of the densities among acted steps.
        So equally many acted steps of both sides teach the second part, however rare they are.

        Args:
            expert, generated: steps to draw batches from.
            generation: the generation, which with the seed determines the draws.
            offsets: computes the offsets of a batch from the indices of its expert steps and of its
                generated steps; None means 0.
        """
        settings = self.settings
        assert isinstance(settings, DiscriminatorSettings)
        size = settings.reward_batch_size
        counted = math.log((1 - expert.absorbing_share) / (1 - generated.absorbing_share))
        for step in range(settings.reward_steps):
            # A batch of equally many steps of the expert and of the generator
            random = self.random(generation, step)
            of_expert = expert.rows(random)
            of_generated = generated.rows(random)
            batch = Examples.joined(
                [
                    expert.examples.at(torch.tensor(of_expert)),
                    generated.examples.at(torch.tensor(of_generated)),
                ]
            )
            own = offsets(of_expert, of_generated)
            if own is not None:
                batch = batch._replace(offsets=torch.tensor(own.astype(np.float32)))

            # -mean log D over the expert's steps, -mean log(1 - D) over the generator's
            self._drop(random, 2 * size)
            logits = self.logits(batch)
            expert_logits = logits[:size] - counted
            generated_logits = logits[size:] - counted
            for network in self._networks():
                network.masks = []
            loss = functional.softplus(-expert_logits).mean()
            loss = loss + functional.softplus(generated_logits).mean()

            # The same in the absorbing state, by its shares
            absorbing = self.absorbing_logit()
            loss = loss + expert.absorbing_share * functional.softplus(-absorbing)
            loss = loss + generated.absorbing_share * functional.softplus(absorbing)

            total = loss
            if settings.gradient_penalty:
                total = total + settings.gradient_penalty * self._penalty(batch, size, random)
            self.descend(total)

        return {
            "discriminator_loss": float(loss.detach()),
            "discriminator_accuracy_expert": float((expert_logits > 0).float().mean()),
            "discriminator_accuracy_generated": float((generated_logits < 0).float().mean()),
        }

    def descend(self, loss: torch.Tensor) -> None:
        """Take one step of Adam on a loss plus the weight decay."""
        if self.settings.reward_weight_decay:
            squares = [
                (weights**2).sum()
                for network in self._networks()
                for weights, _ in network.layers()
            ]
            loss = loss + self.settings.reward_weight_decay * torch.stack(squares).sum()
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()

    def _networks(self) -> list[RewardNetwork]:
        return [self.network] if self.potential is None else [self.network, self.potential]

    def _drop(self, random: np.random.Generator, size: int) -> None:
        """Draw the units to leave out of the next gradient step; the others are scaled up."""
        settings = self.settings
        assert isinstance(settings, DiscriminatorSettings)
        if not (settings.dropout or settings.input_dropout):
            return
        for network in self._networks():
            shapes = [weights.shape[0] for weights, _ in network.layers()]
            shares = [settings.input_dropout] + [settings.dropout] * (len(shapes) - 1)
            network.masks = [
                torch.tensor(
                    (random.random((size, width), np.float32) >= share).astype(np.float32)
                    / (1 - share)
                )
                for width, share in zip(shapes, shares, strict=True)
            ]

    def _penalty(self, batch: Examples, size: int, random: np.random.Generator) -> torch.Tensor:
        """Return mean (|gradient of L| - 1)^2 at points between expert and generated steps."""
        shares = torch.tensor(random.random((size, 1)).astype(np.float32))

        def between(part: torch.Tensor) -> torch.Tensor:
            return (shares * part[:size] + (1 - shares) * part[size:]).requires_grad_()

        inputs, states, next_states = (between(part) for part in batch[:3])
        nothing = torch.zeros(size)
        mixed = Examples(inputs, states, next_states, nothing, nothing, nothing)
        points = [inputs] if self.potential is None else [inputs, states, next_states]
        gradients = torch.autograd.grad(self.logits(mixed).sum(), points, create_graph=True)
        squares = torch.stack([(gradient**2).sum(dim=1) for gradient in gradients]).sum(dim=0)
        return ((torch.sqrt(squares + 1e-12) - 1) ** 2).mean()

    def state(self) -> State:
        """Parameters and Adam's moments, as plain arrays."""
        state: State = {name: leaf.detach().numpy().copy() for name, leaf in self._leaves.items()}
        return state | adam_state(self._adam, self._adam_leaves())

    def restore(self, state: State) -> None:
        """Become the discriminator that gave ``state``."""
        for name, leaf in self._leaves.items():
            with torch.no_grad():
                leaf.copy_(torch.tensor(state[name]))
        restore_adam(self._adam, self._adam_leaves(), state)

    def _adam_leaves(self) -> dict[str, torch.Tensor]:
        return {f"adam/{name}/": leaf for name, leaf in self._leaves.items()}
