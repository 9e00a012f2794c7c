"""The flat policy vector as a differentiable network, for methods that use gradients.

Only code that needs gradients imports this module, since it imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from esengine.environments import ActionSpec
from esengine.policies.forward_pass import input_bounds
from esengine.policies.heads import LEAST_LOG_STD, MOST_LOG_STD
from esengine.policies.layer_kernels import LEAST_VARIANCE
from esengine.policies.layers import (
    CONVOLUTION,
    DENSE,
    ELU,
    GRU,
    IDENTITY,
    JOIN,
    LAYER_NORM,
    RELU,
    SPLIT,
    TANH,
    Layer,
)
from esengine.policies.network import PolicySpec

_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class TorchNetwork:
    """A network whose parameters are the first part of one flat leaf tensor.

    The layout is that of `layers`.

    Args:
        layers: of the network, the first one first.
        parameters: (num_parameters,) float32, copied.
        mean, inverse_std: (num_inputs,) float32 scaling of inputs.

    Attributes:
        flat: (num_parameters,) float32 tensor, for which gradients are computed.
        scaling: mean and inverse standard deviation of inputs.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        parameters: NDArray[np.float32],
        mean: NDArray[np.float32],
        inverse_std: NDArray[np.float32],
    ) -> None:
        torch.set_num_threads(1)  # the bits of a sum depend on the number of threads
        self.flat = torch.tensor(parameters, dtype=torch.float32, requires_grad=True)
        self.rescale(mean, inverse_std)
        self._layers = layers
        self._shapes = [
            shape
            for layer in layers
            for shape in layer.shapes or (((1, layer.outputs),) if layer.num_parameters else ())
        ]
        self._parts = [
            part for inputs, outputs in self._shapes for part in (inputs * outputs, outputs)
        ]
        self._parts.append(parameters.size - sum(self._parts))

    def rescale(self, mean: NDArray[np.float32], inverse_std: NDArray[np.float32]) -> None:
        """Use this mean and inverse standard deviation from now on."""
        self.scaling = (mean, inverse_std)
        self._mean = torch.tensor(mean)
        self._inverse_std = torch.tensor(inverse_std)
        self._bounds = torch.tensor(input_bounds(mean, inverse_std))

    def parameters(self) -> NDArray[np.float32]:
        """The parameters, (num_parameters,) float32, as a copy."""
        return np.array(self.flat.detach().numpy(), np.float32)

    def layers(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The weights (inputs, outputs) and biases (outputs,) of each dense part, and the gains (1,
        outputs) and biases of each layer norm.
        """
        parts = torch.split(self.flat, self._parts)
        return [
            (parts[2 * number].view(shape), parts[2 * number + 1])
            for number, shape in enumerate(self._shapes)
        ]

    def outputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """The outputs of the network, (batch, num_outputs), for (batch, num_inputs) float32; those
        of a recurrent one, (time, batch, num_outputs), for whole episodes (time, batch,
        num_inputs).
        """
        return self.sequence(inputs, None)[0]

    def scaled(self, inputs: torch.Tensor) -> torch.Tensor:
        """Scaled and clipped inputs."""
        scaled = (inputs - self._mean) * self._inverse_std
        return scaled.clamp(-self._bounds, self._bounds)

    def sequence(
        self, inputs: torch.Tensor, state: list[torch.Tensor] | None
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The outputs for a part of each episode, and the state after it.

        Args:
            inputs: as in `outputs`.
            state: what this method returned for the part before it, or None at the beginning.
        """
        values = self.scaled(inputs)
        parts = iter(self.layers())
        before = iter(state or [])
        after = []
        beside = values[..., :0]
        for layer in self._layers:
            if layer.kind == SPLIT:
                end = layer.offset + layer.outputs
                beside = torch.cat([values[..., : layer.offset], values[..., end:]], dim=-1)
                values = values[..., layer.offset : end]
                continue
            if layer.kind == JOIN:
                values = torch.cat([values, beside], dim=-1)
                continue
            weights, biases = next(parts)
            if layer.kind == LAYER_NORM:
                size = (layer.outputs,)
                values = functional.layer_norm(
                    values, size, weights[0], biases, float(LEAST_VARIANCE)
                )
            elif layer.kind == CONVOLUTION:
                values = _convolve(layer, values, weights, biases)
            elif layer.kind == DENSE:
                values = _affine(values, weights, biases)
            else:
                from_input = _affine(values, weights, biases)
                h = next(before, torch.zeros(inputs.shape[1], layer.state_size))
                values, h = _recur(layer, from_input, *next(parts), h)
                after.append(h)
            values = _ACTIVATIONS[layer.activation](values)
        return values, after


def _affine(values: torch.Tensor, weights: torch.Tensor, biases: torch.Tensor) -> torch.Tensor:
    """``values @ weights + biases`` over the last axis."""
    flat = torch.addmm(biases, values.reshape(-1, values.shape[-1]), weights)
    return flat.view(*values.shape[:-1], -1)


def _convolve(
    layer: Layer, values: torch.Tensor, weights: torch.Tensor, biases: torch.Tensor
) -> torch.Tensor:
    """The outputs of a convolution over the last axis."""
    rows, columns, channels, size = layer.rows, layer.columns, layer.channels, layer.kernel
    if layer.channels_first:
        pictures = values.reshape(-1, channels, rows, columns)
    else:
        pictures = values.reshape(-1, rows, columns, channels).permute(0, 3, 1, 2)
    filters = weights.view(size, size, channels, -1).permute(3, 2, 0, 1)
    outputs = functional.conv2d(pictures, filters, biases, layer.stride)
    return outputs.permute(0, 2, 3, 1).reshape(*values.shape[:-1], layer.outputs)


def _recur(
    layer: Layer,
    from_input: torch.Tensor,
    weights: torch.Tensor,
    biases: torch.Tensor,
    state: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The outputs (time, batch, n) of a recurrent layer, and its state (batch, state_size) after
    the last step.

    Args:
        layer: a GRU or an LSTM.
        from_input: (time, batch, num_gates * n) of its input part.
        weights, biases: of its state part.
        state: (batch, state_size) before the first step.
    """
    n = layer.outputs
    h, memory = state[:, :n], state[:, n:]
    outputs = []
    for gates in from_input:
        from_state = torch.addmm(biases, h, weights)
        if layer.kind == GRU:
            r, z = torch.chunk(torch.sigmoid(gates[:, : 2 * n] + from_state[:, : 2 * n]), 2, dim=1)
            c = torch.tanh(gates[:, 2 * n :] + r * from_state[:, 2 * n :])
            h = c + z * (h - c)
        else:
            i, f, g, o = torch.chunk(gates + from_state, 4, dim=1)
            memory = torch.sigmoid(f) * memory + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(memory)
        outputs.append(h)
    return torch.stack(outputs), torch.cat([h, memory], dim=1)


_ACTIVATIONS = {
    IDENTITY: lambda values: values,
    TANH: torch.tanh,
    RELU: torch.relu,
    ELU: functional.elu,
}


class TorchPolicy(TorchNetwork):
    """A policy as a differentiable network.

    Args:
        spec: the architecture.
        parameters: (num_parameters,) float32, copied.
        mean, inverse_std: (observation_dim,) float32 scaling of observations.
    """

    def __init__(
        self,
        spec: PolicySpec,
        parameters: NDArray[np.float32],
        mean: NDArray[np.float32],
        inverse_std: NDArray[np.float32],
    ) -> None:
        super().__init__(() if spec.module else spec.layers, parameters, mean, inverse_std)
        self.spec = spec
        self._network = spec.module_network() if spec.module else None
        if self._network is not None:
            self._parts = [self._network.size.num_parameters, *self._parts]
            self._parts[-1] -= self._parts[0]

    def sequence(
        self, inputs: torch.Tensor, state: list[torch.Tensor] | None
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        if self._network is None:
            return super().sequence(inputs, state)
        return self._network.sequence(self.flat, self.scaled(inputs), state)

    def log_stds(self, least: float = -math.inf) -> torch.Tensor:
        """The log standard deviations of a sampled box policy, (num_choices,), >= ``least``."""
        return torch.split(self.flat, self._parts)[-1].clamp(min=least)

    def log_densities(
        self, observations: torch.Tensor, targets: torch.Tensor, least_log_std: float = -math.inf
    ) -> torch.Tensor:
        """The log density, or log probability, of actions under the policy, (batch,).

        The density of a box action is that before clipping, in the policy's units.

        Args:
            observations: (batch, observation_dim) float32.
            targets: (batch, num_choices) from `encode`.
            least_log_std: the smallest log standard deviation of a sampled box policy.
        """
        return self.log_densities_of(self.outputs(observations), targets, least_log_std)

    def log_densities_of(
        self, outputs: torch.Tensor, targets: torch.Tensor, least_log_std: float = -math.inf
    ) -> torch.Tensor:
        """`log_densities` of the outputs that the observations give, (batch, num_outputs)."""
        action = self.spec.action
        if self.spec.components:
            logits, means, log_stds = self._components(outputs)
            inside = _normal(targets[:, None], means, log_stds).sum(dim=2)
            return torch.logsumexp(torch.log_softmax(logits, dim=1) + inside, dim=1)
        if action.kind == "box":
            return _normal(targets, outputs, self.log_stds(least_log_std)).sum(dim=1)
        if action.kind == "multi-binary":
            return -functional.binary_cross_entropy_with_logits(
                outputs, targets, reduction="none"
            ).sum(dim=1)

        parts = torch.split(outputs, list(action.sizes), dim=1)
        chosen = [
            -functional.cross_entropy(part, targets[:, k], reduction="none")
            for k, part in enumerate(parts)
        ]
        return torch.stack(chosen).sum(dim=0)

    def entropies(self, observations: torch.Tensor) -> torch.Tensor:
        """The entropy of the policy's distribution for each observation, (batch,).

        For a mixture it is an upper bound: the entropy of the choice of a component plus the mean
        entropy of the components.
        """
        outputs = self.outputs(observations)
        action = self.spec.action
        if self.spec.components:
            logits, _, log_stds = self._components(outputs)
            weights = torch.softmax(logits, dim=1)
            inside = (log_stds + 0.5 + _HALF_LOG_TWO_PI).sum(dim=2)
            return (weights * (inside - torch.log_softmax(logits, dim=1))).sum(dim=1)
        if action.kind == "box":
            return (self.log_stds() + 0.5 + _HALF_LOG_TWO_PI).sum().expand(len(observations))
        if action.kind == "multi-binary":
            logits = torch.stack([torch.zeros_like(outputs), outputs], dim=2)
            return _entropy(logits).sum(dim=1)

        return torch.stack(
            [_entropy(part) for part in torch.split(outputs, list(action.sizes), dim=1)]
        ).sum(dim=0)

    def _components(self, outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The logits (batch, components), and the means and log standard deviations (batch,
        components, num_choices).
        """
        components = self.spec.components
        size = self.spec.action.num_outputs
        shape = (len(outputs), components, size)
        logits, means, log_stds = torch.split(
            outputs, [components, components * size, components * size], dim=1
        )
        log_stds = log_stds.reshape(shape).clamp(LEAST_LOG_STD, MOST_LOG_STD)
        return logits, means.reshape(shape), log_stds


def encode(action: ActionSpec, actions: NDArray[np.float64]) -> torch.Tensor:
    """Actions, (num_actions, num_choices), in the policy's units: those of a box as float32 in
    halves of the range, others as indices of options.
    """
    if action.kind == "box":
        return torch.tensor(((actions - action.center()) / action.reach()).astype(np.float32))
    options = torch.tensor(action.options(actions))
    return options.float() if action.kind == "multi-binary" else options


def _normal(values: torch.Tensor, means: torch.Tensor, log_stds: torch.Tensor) -> torch.Tensor:
    """The log density of each value under N(mean, std^2)."""
    return -0.5 * ((values - means) * torch.exp(-log_stds)) ** 2 - log_stds - _HALF_LOG_TWO_PI


def _entropy(logits: torch.Tensor) -> torch.Tensor:
    """The entropy of a categorical distribution over the last axis."""
    log = torch.log_softmax(logits, dim=-1)
    return -(log.exp() * log).sum(dim=-1)
