"""A network that tells an expert's steps from a generator's, and whose logit is a reward (Ho, Ermon
2016, arXiv 1606.03476).

The logit is L = g(s, a) for GAIL, and L = g + discount h(s') - h(s) - log pi(a | s) for AIRL. The
loss is -mean log D over the expert's steps and -mean log(1 - D) over the generator's, D = 1 / (1 +
exp(-L)), with a penalty on the gradient between the two (Gulrajani et al. 2017, arXiv 1704.00028),
spectral norms of 1 (Miyato et al. 2018, arXiv 1802.05957), dropout and weight decay, each by
itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from esengine.algorithms.inverse_rl.settings import DiscriminatorSettings, RewardNetworkSettings
from esengine.algorithms.strategy import State
from esengine.policies.network import OBSERVATION_CLIP
from esengine.policies.torch_network import TorchNetwork
from esengine.rewards.network import LearnedReward
from esengine.rewards.sampling import Steps
from esengine.seeding import derive_key, generator

Offsets = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64] | None]


class Examples(NamedTuple):
    """Steps as a discriminator's tensors.

    Attributes:
        inputs: (num_steps, num_inputs) standardised inputs of the reward.
        states, next_states: (num_steps, num_states) standardised inputs of the potential, or None
            without one.
        next_absorbing: (num_steps,) float32, 1 where the potential of the next state is 0 by
            definition.
        offsets: (num_steps,) float32, what is taken off the logit: log pi(a | s), or 0.
    """

    inputs: torch.Tensor
    states: torch.Tensor | None
    next_states: torch.Tensor | None
    next_absorbing: torch.Tensor
    offsets: torch.Tensor

    def at(self, rows: torch.Tensor) -> Examples:
        """Some of them."""
        states, next_states = (
            None if part is None else part[rows] for part in (self.states, self.next_states)
        )
        return Examples(
            self.inputs[rows], states, next_states, self.next_absorbing[rows], self.offsets[rows]
        )

    @classmethod
    def joined(cls, parts: list[Examples]) -> Examples:
        """One after another."""
        columns = zip(*parts, strict=True)
        return cls(*(None if column[0] is None else torch.cat(column) for column in columns))  # type: ignore[arg-type]


class RewardNetwork(TorchNetwork):
    """A learned reward as a differentiable network of standardised inputs.

    Args:
        reward: the architecture, and where it starts.
        spectral_norm: see `DiscriminatorSettings`.
    """

    def __init__(self, reward: LearnedReward, spectral_norm: bool) -> None:
        spec = reward.spec
        nothing = (np.zeros(spec.num_inputs, np.float32), np.ones(spec.num_inputs, np.float32))
        super().__init__(spec.layer_sizes, reward.parameters, *nothing)
        self._reward, self._spectral_norm = reward, spectral_norm
        self.masks: list[
            torch.Tensor
        ] = []  # (batch, units) of the inputs and each hidden layer, while dropout is on

    def layers(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        layers = super().layers()
        if not self._spectral_norm:
            return layers
        return [
            (weights / torch.linalg.matrix_norm(weights, 2).clamp(min=1e-6), biases)
            for weights, biases in layers
        ]

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """(batch,) for (batch, num_inputs)."""
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
        """The reward as workers score it, with spectral norms divided out."""
        with torch.no_grad():
            parts = [part.reshape(-1) for layer in self.layers() for part in layer]
        return replace(self._reward, parameters=torch.cat(parts).detach().numpy().copy())

    def standardised(
        self, steps: Steps, absorbing: NDArray[np.bool_], states: NDArray[np.float32]
    ) -> torch.Tensor:
        """Inputs as the kernel `rewards.score` makes them, (num_steps, num_inputs); an absorbing
        state is zeros and a 1.
        """
        reward = self._reward
        rows = (
            reward.spec.inputs(states, steps.choices) - reward.input_mean
        ) * reward.input_inverse_std
        rows = np.clip(rows, -OBSERVATION_CLIP, OBSERVATION_CLIP)
        rows[absorbing] = 0
        rows[absorbing, -1] = 1
        return torch.tensor(rows)


class Discriminator:
    """The reward's network, a potential's if there is one, and how they are trained.

    Args:
        settings: checked settings.
        seed: of the run.
        reward: where the reward starts.
        potential: where the potential starts, or None.
        discount: of the potential.
    """

    def __init__(
        self,
        settings: RewardNetworkSettings,
        seed: int,
        reward: LearnedReward,
        potential: LearnedReward | None = None,
        discount: float = 1.0,
    ) -> None:
        self.settings, self._seed, self._discount = settings, seed, discount
        self.network = RewardNetwork(reward, settings.spectral_norm)
        self.potential = (
            None if potential is None else RewardNetwork(potential, settings.spectral_norm)
        )
        self._leaves = {"reward": self.network.flat} | (
            {} if self.potential is None else {"potential": self.potential.flat}
        )
        self._adam = torch.optim.Adam(
            list(self._leaves.values()), lr=settings.reward_learning_rate, foreach=False
        )

    def examples(self, steps: Steps) -> Examples:
        """Steps as tensors, with offsets of 0."""
        rest = (
            torch.tensor(steps.next_absorbing.astype(np.float32)),
            torch.zeros(len(steps.absorbing)),
        )
        inputs = self.network.standardised(steps, steps.absorbing, steps.observations)
        if self.potential is None:
            return Examples(inputs, None, None, *rest)
        here = self.potential.standardised(steps, steps.absorbing, steps.observations)
        there = self.potential.standardised(steps, steps.next_absorbing, steps.next_observations)
        return Examples(inputs, here, there, *rest)

    def logits(self, examples: Examples) -> torch.Tensor:
        """L of each step, (num_steps,)."""
        logits = self.network.logits(examples.inputs) - examples.offsets
        if self.potential is None:
            return logits
        assert examples.states is not None
        assert examples.next_states is not None
        alive = 1 - examples.states[:, -1]  # the potential of the absorbing state is 0
        here = alive * self.potential.logits(examples.states)
        there = (1 - examples.next_absorbing) * self.potential.logits(examples.next_states)
        return logits + self._discount * there - here

    def fit(
        self,
        expert: Examples,
        generated: Examples,
        generation: int,
        offsets: Offsets = lambda expert, generated: None,
    ) -> dict[str, float]:
        """Gradient steps; returns metrics of the last one's batch.

        Args:
            expert, generated: steps to draw batches from.
            generation: of which the draws are a function.
            offsets: of the logits of a batch, from the numbers of its steps of the expert and of
                the generated ones; None is 0.
        """
        settings = self.settings
        assert isinstance(settings, DiscriminatorSettings)
        size = settings.reward_batch_size
        found: dict[str, float] = {}
        for step in range(settings.reward_steps):
            random = generator(derive_key(self._seed, "reward batches", generation), step)
            picked = [random.integers(len(part.inputs), size=size) for part in (expert, generated)]
            drawn = [
                part.at(torch.tensor(rows))
                for part, rows in zip((expert, generated), picked, strict=True)
            ]
            batch, own = Examples.joined(drawn), offsets(*picked)
            if own is not None:
                batch = batch._replace(offsets=torch.tensor(own.astype(np.float32)))
            self._drop(random, 2 * size)
            logits = self.logits(batch)
            of_expert, of_generated = logits[:size], logits[size:]
            loss = functional.softplus(-of_expert).mean() + functional.softplus(of_generated).mean()
            for network in self._networks():
                network.masks = []
            total = loss
            if settings.gradient_penalty:
                total = total + settings.gradient_penalty * self._penalty(batch, size, random)
            self.descend(total)
            if step == settings.reward_steps - 1:
                right = [float((part > 0).float().mean()) for part in (of_expert, -of_generated)]
                found = {
                    "discriminator_loss": float(loss.detach()),
                    "discriminator_accuracy_expert": right[0],
                    "discriminator_accuracy_generated": right[1],
                }
        return found

    def descend(self, loss: torch.Tensor) -> None:
        """One step of Adam on a loss and the weight decay."""
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
        """Draw which units are left out of the next gradient step; those left are scaled up."""
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
        """mean (|gradient of L at a point between an expert's step and a generated one| - 1)^2."""
        shares = torch.tensor(random.random((size, 1)).astype(np.float32))

        def between(part: torch.Tensor) -> torch.Tensor:
            return (shares * part[:size] + (1 - shares) * part[size:]).requires_grad_()

        inputs, nothing = between(batch.inputs), torch.zeros(size)
        states, next_states = (
            None if part is None else between(part) for part in (batch.states, batch.next_states)
        )
        mixed = Examples(inputs, states, next_states, nothing, nothing)
        points = [part for part in mixed[:3] if part is not None]
        gradients = torch.autograd.grad(self.logits(mixed).sum(), points, create_graph=True)
        squares = torch.stack([(gradient**2).sum(dim=1) for gradient in gradients]).sum(dim=0)
        return ((torch.sqrt(squares + 1e-12) - 1) ** 2).mean()

    def state(self) -> State:
        """Parameters and Adam's moments, as plain arrays."""
        state: State = {name: leaf.detach().numpy().copy() for name, leaf in self._leaves.items()}
        for name, leaf in self._leaves.items():
            state |= {
                f"adam/{name}/{key}": value.numpy().copy()
                for key, value in self._adam.state.get(leaf, {}).items()
            }
        return state

    def restore(self, state: State) -> None:
        """Become the discriminator that gave ``state``."""
        self._adam.state.clear()
        for name, leaf in self._leaves.items():
            with torch.no_grad():
                leaf.copy_(torch.tensor(state[name]))
            begin = f"adam/{name}/"
            moments = {
                key[len(begin) :]: torch.tensor(array)
                for key, array in state.items()
                if key.startswith(begin)
            }
            if moments:
                self._adam.state[leaf] = moments
