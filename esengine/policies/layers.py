"""The layers that compiled networks are made of, each as one row of integers that kernels read.

A layer's parameters are one part of the flat vector. Those of a dense layer are its weights,
(inputs, outputs) row by row, and then its biases. A recurrent layer has two such dense parts, of
its inputs and of its state, whose outputs are the gates in torch's order. A layer norm has its
gains and then its biases. The weights of a convolution are those of a dense part whose inputs are
one patch of the picture: by row, column and channel.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DENSE, LAYER_NORM, GRU, LSTM, CONVOLUTION, SPLIT, JOIN = range(7)
PIXELS = 8  # of a tile of a convolution
NUM_PARAMETERS, STATE_SIZE, ADDRESS, ADDRESS_IN_LANES, NUM_COLUMNS = range(11, 16)
"""Columns of a network's table after the fields of `Layer`: sizes, and where the machine code of a
layer that is compiled apart is, for one member and in lanes; 0 for others.
"""
IDENTITY, TANH, RELU, ELU = range(4)
ACTIVATIONS = {"tanh": TANH, "relu": RELU, "elu": ELU}
_WITHOUT_PARTS = (LAYER_NORM, SPLIT, JOIN)
_NUM_GATES = {GRU: 3, LSTM: 4}
_NUM_STATES = {GRU: 1, LSTM: 2}
LONGEST_MEMORY = 64  # steps that a new recurrent layer remembers
_REMEMBERING_GATE = 1  # update gate of a GRU, forget gate of an LSTM


class Layer(NamedTuple):
    """One layer.

    Attributes:
        kind: `DENSE`, `LAYER_NORM`, `GRU` (Cho et al. 2014, arXiv 1406.1078), `LSTM` (Hochreiter &
            Schmidhuber 1997) or `CONVOLUTION`. `SPLIT` passes a picture on and keeps the numbers
            beside it, which `JOIN` appends.
        inputs, outputs: numbers that it takes and gives.
        activation: what is applied to its outputs: `IDENTITY`, `TANH`, `RELU` or `ELU`.
        rows, columns, channels: of the picture that a convolution takes.
        kernel, stride: of a convolution, in pixels.
        offset: where the picture begins among the inputs of a `SPLIT`.
        channels_first: whether the picture is (channels, rows, columns); otherwise, as every
            output, (rows, columns, channels).
    """

    kind: int
    inputs: int
    outputs: int
    activation: int = IDENTITY
    rows: int = 0
    columns: int = 0
    channels: int = 0
    kernel: int = 0
    stride: int = 1
    channels_first: int = 0
    offset: int = 0

    @property
    def picture(self) -> tuple[int, int, int]:
        """Rows, columns and channels of what a convolution gives."""
        rows, columns = (
            (size - self.kernel) // self.stride + 1 for size in (self.rows, self.columns)
        )
        return rows, columns, self.outputs // (rows * columns)

    @property
    def panel_size(self) -> int:
        """Numbers of the patches of a tile of a convolution."""
        return PIXELS * self.kernel**2 * self.channels

    @property
    def num_gates(self) -> int:
        """Dense outputs for each output of the layer; 0 for one without dense parts."""
        return 0 if self.kind in _WITHOUT_PARTS else _NUM_GATES.get(self.kind, 1)

    @property
    def is_apart(self) -> bool:
        """Whether its code is compiled apart, see `layers_apart`."""
        return self.kind != DENSE or self.activation not in (IDENTITY, TANH)

    @property
    def state_size(self) -> int:
        """Numbers that it carries from step to step."""
        return _NUM_STATES.get(self.kind, 0) * self.outputs

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of its dense parts, if it has any."""
        if self.kind in _WITHOUT_PARTS:
            return ()
        if self.kind == CONVOLUTION:
            return ((self.kernel**2 * self.channels, self.picture[2]),)
        width = self.num_gates * self.outputs
        parts = ((self.inputs, width), (self.outputs, width))
        return parts if self.state_size else parts[:1]

    @property
    def num_parameters(self) -> int:
        if self.kind == LAYER_NORM:
            return 2 * self.outputs
        return sum((inputs + 1) * outputs for inputs, outputs in self.shapes)

    def initial(self, random: np.random.Generator) -> NDArray[np.float32]:
        """First parameters, (num_parameters,) float32.

        Weights are normal with standard deviation 1 / sqrt(inputs) and biases zero. A recurrent
        layer begins by remembering: its update or forget gates have biases log(t - 1), with which a
        unit keeps its state for about t steps (Tallec & Ollivier 2018, arXiv 1804.11188). Over the
        units, t goes from 2 to `LONGEST_MEMORY` in equal ratios. A layer norm begins as one.
        """
        parameters = np.zeros(self.num_parameters, np.float32)
        if self.kind == LAYER_NORM:
            parameters[: self.outputs] = 1.0
            return parameters

        offset = 0
        for inputs, outputs in self.shapes:
            weights = random.standard_normal(inputs * outputs) / np.sqrt(inputs)
            parameters[offset : offset + weights.size] = weights
            offset += weights.size
            if self.state_size and offset == weights.size:
                first = offset + _REMEMBERING_GATE * self.outputs
                steps = np.geomspace(2, LONGEST_MEMORY, self.outputs)
                parameters[first : first + self.outputs] = np.log(steps - 1)
            offset += outputs
        return parameters


def convolution(
    picture: tuple[int, int, int], filters: int, kernel: int, stride: int, first: bool = False
) -> Layer:
    """A convolution without padding.

    Args:
        picture: rows, columns and channels of what it takes.
        filters: channels of what it gives.
        kernel, stride: in pixels.
        first: whether the picture is (channels, rows, columns).

    Raises:
        ValueError: the kernel is larger than the picture.
    """
    rows, columns, channels = picture
    if kernel > min(rows, columns):
        raise ValueError(f"a kernel of {kernel} pixels in a picture of {rows} x {columns}")
    pixels = ((rows - kernel) // stride + 1) * ((columns - kernel) // stride + 1)
    return Layer(
        CONVOLUTION,
        rows * columns * channels,
        pixels * filters,
        RELU,
        rows,
        columns,
        channels,
        kernel,
        stride,
        int(first),
    )


def dense_layers(sizes: Sequence[int], activation: int = TANH) -> tuple[Layer, ...]:
    """Dense layers with an activation after all but the last.

    Args:
        sizes: units of each layer, the inputs first.
        activation: see `Layer`.
    """
    pairs = list(itertools.pairwise(sizes))
    return (
        *(Layer(DENSE, inputs, outputs, activation) for inputs, outputs in pairs[:-1]),
        Layer(DENSE, *pairs[-1]),
    )


def width_of(layers: Sequence[Layer]) -> int:
    """The most numbers that a layer takes or computes, gates included."""
    widths = [
        max(layer.inputs, max(1, layer.num_gates) * layer.outputs, layer.panel_size)
        for layer in layers
    ]
    return max(widths, default=0)


def state_size_of(layers: Sequence[Layer]) -> int:
    """Numbers that a network carries from step to step."""
    return sum(layer.state_size for layer in layers)
