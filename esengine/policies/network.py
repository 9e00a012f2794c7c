"""Policies as one flat float32 vector that acts in compiled code, one observation at a time.

The vector holds the parameters of each layer in order, see `layers`. A sampled box policy ends with
one log standard deviation per action. The outputs of a mixture are all logits, then all means, then
all log standard deviations. `forward_pass` computes the outputs, and `heads` the action.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.environments import ActionSpec
from esengine.errors import UserError
from esengine.policies.forward_pass import forward, scale_inputs
from esengine.policies.heads import decode, head_of
from esengine.policies.layers import (
    ACTIVATIONS,
    DENSE,
    GRU,
    IDENTITY,
    JOIN,
    LAYER_NORM,
    LSTM,
    SPLIT,
    Layer,
    convolution,
    state_size_of,
)
from esengine.policies.layers_apart import Network, network_of
from esengine.seeding import derive_key, generator

if TYPE_CHECKING:
    from esengine.policies.module_network import ModuleNetwork, ModuleSize

Memory = Literal["none", "gru", "lstm"]
Activation = Literal["tanh", "relu", "elu"]

_ZERO = np.uint64(0)


class NetworkSpec(ABC):
    """The architecture of a compiled network, whose parameters are one flat vector.

    Attributes:
        purpose: of the stream of its initial parameters.
    """

    purpose: ClassVar[str]

    @property
    @abstractmethod
    def layers(self) -> tuple[Layer, ...]:
        """Its layers, the first one first."""

    @property
    def num_parameters(self) -> int:
        return sum(layer.num_parameters for layer in self.layers)

    def initial_parameters(self, seed: int) -> NDArray[np.float32]:
        """The start of a search, (num_parameters,) float32.

        Hidden layers begin as `Layer.initial` says. The output layer is zero, and so is a linear
        policy.
        """
        parameters = np.zeros(self.num_parameters, np.float32)
        random = generator(derive_key(seed, self.purpose))
        offset = 0

        for layer in self.layers[:-1]:
            own = layer.initial(random)
            parameters[offset : offset + own.size] = own
            offset += own.size

        return parameters


@dataclass(frozen=True)
class PolicySpec(NetworkSpec):
    """The architecture of a policy.

    Attributes:
        observation_dim: length of the flat observation.
        action: the action space.
        hidden_sizes: units of each hidden layer; empty for a linear policy.
        sampled: whether actions are drawn from the policy's distribution; otherwise, its mode.
        components: number of normal distributions in the mixture of a box action, or 0 for one
            mean.
        memory: what the last hidden layer is; with ``none`` it is dense as the others.
        activation: of dense hidden layers.
        layer_norm: whether each dense hidden layer is normalised before its activation (Ba et al.
            2016, arXiv 1607.06450).
        module: the user's ``torch.nn.Module`` in place of these layers, as ``module:Class``, see
            `module_network`; or empty.
        observation_shape: of what a module sees, or of the picture that convolutions see; empty for
            (observation_dim,).
        convolutions: filters, kernel and stride of each convolution that comes before the hidden
            layers; the observation must be a picture, or have one.
        picture_offset: where the picture begins, if the observation has numbers beside it.
    """

    observation_dim: int
    action: ActionSpec
    hidden_sizes: tuple[int, ...] = ()
    sampled: bool = False
    components: int = 0
    memory: Memory = "none"
    activation: Activation = "tanh"
    layer_norm: bool = False
    module: str = ""
    observation_shape: tuple[int, ...] = ()
    convolutions: tuple[tuple[int, int, int], ...] = ()
    picture_offset: int = 0

    purpose = "initial parameters"

    @property
    def num_outputs(self) -> int:
        if self.components:
            return self.components * (1 + 2 * self.action.num_outputs)
        return self.action.num_outputs

    @property
    def layers(self) -> tuple[Layer, ...]:
        if self.module:
            raise TypeError(f"the layers of {self.module} are its own")
        layers: list[Layer] = []
        if self.convolutions:
            layers += self._convolutional_layers()
        inputs = layers[-1].outputs if layers else self.observation_dim
        for number, size in enumerate(self.hidden_sizes, 1):
            if self.memory != "none" and number == len(self.hidden_sizes):
                layers.append(Layer(GRU if self.memory == "gru" else LSTM, inputs, size))
            elif self.layer_norm:
                layers.append(Layer(DENSE, inputs, size, IDENTITY))
                layers.append(Layer(LAYER_NORM, size, size, ACTIVATIONS[self.activation]))
            else:
                layers.append(Layer(DENSE, inputs, size, ACTIVATIONS[self.activation]))
            inputs = size
        return (*layers, Layer(DENSE, inputs, self.num_outputs))

    def _convolutional_layers(self) -> list[Layer]:
        layers = []
        size = math.prod(self.observation_shape)
        beside = self.observation_dim - size
        if beside:
            layers.append(Layer(SPLIT, self.observation_dim, size, offset=self.picture_offset))
        picture, first = picture_of(self.observation_shape)
        for filters, size, stride in self.convolutions:
            layers.append(convolution(picture, filters, size, stride, first))
            picture, first = layers[-1].picture, False
        if beside:
            layers.append(Layer(JOIN, layers[-1].outputs, layers[-1].outputs + beside))
        return layers

    @property
    def is_recurrent(self) -> bool:
        """Whether actions depend on earlier observations of the episode."""
        if self.module:
            return self._module_size().is_recurrent
        return state_size_of(self.layers) > 0

    @property
    def num_parameters(self) -> int:
        own = self._module_size().num_parameters if self.module else super().num_parameters
        return own + (self.num_log_stds if self.sampled else 0)

    def initial_parameters(self, seed: int) -> NDArray[np.float32]:
        if not self.module:
            return super().initial_parameters(seed)
        parameters = np.zeros(self.num_parameters, np.float32)
        own = self.module_network(derive_key(seed, self.purpose)).initial()
        parameters[: own.size] = own
        return parameters

    def module_network(self, seed: int = 0) -> ModuleNetwork:
        """A new copy of the module. Raises UserError for one that cannot be made."""
        from esengine.policies.module_network import ModuleNetwork

        return ModuleNetwork(self.module, self._shape, self.num_outputs, seed)

    def _module_size(self) -> ModuleSize:
        from esengine.policies.module_network import module_size

        return module_size(self.module, self._shape, self.num_outputs)

    @property
    def _shape(self) -> tuple[int, ...]:
        return self.observation_shape or (self.observation_dim,)

    @property
    def num_log_stds(self) -> int:
        return self.action.num_outputs if self.action.kind == "box" and not self.components else 0


def picture_of(shape: tuple[int, ...]) -> tuple[tuple[int, int, int], bool]:
    """Rows, columns and channels of a picture, and whether its channels come first, as they do in
    stacked frames: the first axis is then the shortest.

    Raises:
        ValueError: it is no picture.
    """
    if len(shape) == 2:
        return (*shape, 1), False
    if len(shape) != 3:
        raise ValueError(f"pictures must be (rows, columns, channels), got {shape}")
    first = shape[0] < min(shape[1:])
    rows, columns, channels = (*shape[1:], shape[0]) if first else shape
    return (rows, columns, channels), first


def check_memoryless(spec: PolicySpec, what: str) -> None:
    """Raises UserError for a recurrent policy.

    Args:
        spec: the policy.
        what: what needs a policy without memory, for the message.
    """
    if spec.is_recurrent:
        got = spec.module or f"one with {spec.memory}"
        raise UserError(f"{what} needs a policy without memory, got {got}; use --policy mlp")


def check_compiled(spec: PolicySpec, what: str) -> None:
    """Raises UserError for a policy that is a user's module.

    Args:
        spec: the policy.
        what: what needs compiled layers, for the message.
    """
    if spec.module:
        raise UserError(
            f"{what} needs a policy of compiled layers, got {spec.module}; use --policy mlp"
        )


@dataclass
class Actor:
    """A policy with its parameters and observation scaling, ready to act.

    Args:
        spec: the architecture.
        parameters: (num_parameters,) float32; not copied, so the caller may change it in place.
        observation_mean, observation_inverse_std: (observation_dim,) float32.
    """

    spec: PolicySpec
    parameters: NDArray[np.float32]
    observation_mean: NDArray[np.float32]
    observation_inverse_std: NDArray[np.float32]
    _network: Network = field(init=False, repr=False)
    _head: tuple[Any, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.parameters.shape != (self.spec.num_parameters,):
            raise UserError(
                f"a policy of {self.spec.observation_dim} observations and hidden sizes "
                f"{self.spec.hidden_sizes} must have {self.spec.num_parameters} parameters, got "
                f"{self.parameters.shape}; use the policy file's own architecture"
            )

        action = self.spec.action
        self._module = self.spec.module_network() if self.spec.module else None
        layers = () if self.spec.module else self.spec.layers
        self._network = network_of(layers, self.observation_mean, self.observation_inverse_std)
        self._head = head_of(action, self.spec.components)
        self._decoded = np.zeros(len(action.sizes))
        self._is_plain = not self.spec.sampled and self.spec.memory == "none"
        plain = action.kind == "box" and action.dtype.startswith("float") and len(action.shape) == 1
        self._plain_dtype = np.dtype(action.dtype) if plain else None

    @property
    def network(self) -> Network:
        """The arguments with which compiled code calls the kernel `forward`."""
        check_compiled(self.spec, "compiled code")
        scaling = (self.observation_mean, self.observation_inverse_std)
        return (self._network[0], *scaling, *self._network[3:])

    @property
    def compiled_arguments(self) -> tuple[Any, ...]:
        """The arguments with which compiled rollouts call the kernel `act`."""
        head = (self._head, self.spec.sampled, self._decoded)
        return (self.parameters, *self.network, *head)

    def act(self, observation: NDArray[np.float32], key: int = 0, step: int = 0) -> Any:
        """The action for one flat observation.

        Args:
            observation: (observation_dim,) float32.
            key: stream of the sampled actions; unused when the policy is deterministic.
            step: number of the step in its episode, which numbers the draws. A recurrent policy
                must be asked at every step, and begins an episode at step 0.

        Returns:
            An int for a discrete space, otherwise an array of the action's shape and dtype.
        """
        # Making numbers for the compiler takes as long as a step of a small network.
        numbers = (_ZERO, _ZERO) if self._is_plain else (np.uint64(key), np.uint64(step))
        drawn = (self.spec.sampled, *numbers, self._decoded)
        if self._module is None:
            scaling = (self.observation_mean, self.observation_inverse_std)
            table, working = self._network[0], self._network[3:]
            act(self.parameters, table, observation, *scaling, *working, self._head, *drawn)
            return self.decoded()

        if step == 0 or self._module.bound is not self.parameters:
            self._module.begin(self.parameters)
        scaling = (self.observation_mean, self.observation_inverse_std)
        scale_inputs(observation, *scaling, self._module.inputs)
        log_stds = self.parameters[self._module.size.num_parameters :]
        decode(self._module.outputs(), log_stds, self._head, *drawn)
        return self.decoded()

    def decoded(self) -> Any:
        """The action that the kernel `act` wrote last in the environment's form, a new array."""
        if self._plain_dtype is not None:
            return self._decoded.astype(self._plain_dtype)

        action = self.spec.action
        if action.kind == "discrete":
            return int(self._decoded[0]) + action.starts[0]

        values = self._decoded if action.dtype.startswith("float") else np.rint(self._decoded)
        values = values.astype(action.dtype)
        if action.starts:
            values += np.array(action.starts, values.dtype)

        return values.reshape(action.shape)


@kernel
def act(
    parameters: NDArray[np.float32],
    table: NDArray[np.int64],
    observation: NDArray[np.float32],
    mean: NDArray[np.float32],
    inverse_std: NDArray[np.float32],
    hidden: NDArray[np.float32],
    state: NDArray[np.float32],
    head: Any,
    sampled: bool,
    key: np.uint64,
    step: np.uint64,
    action: NDArray[np.float64],
) -> None:
    """Write the policy's action to ``action``, one number per choice.

    A box output of -1 .. 1 spans the space's bounds and is clipped to them; an unbounded coordinate
    is used unchanged. A discrete choice is the first of the largest outputs or, if sampled, a draw
    from the softmax. A mixture uses the mean of its most likely component; if sampled, it draws a
    component, and then an action from that. At step 0 the network's state is zero.
    """
    if step == 0:
        for k in range(state.size):
            state[k] = 0.0
    outputs, offset = forward(parameters, table, observation, mean, inverse_std, hidden, state)
    decode(outputs, parameters[offset:], head, sampled, key, step, action)
