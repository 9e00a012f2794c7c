"""A policy as an ONNX graph, made without torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.errors import UserError, pip_install
from esengine.launch.results.exporting.network import Network

_OPSET = 17  # of 2022: old enough for every runtime
_IR_VERSION = 8


def onnx_bytes(network: Network) -> bytes:
    """The model: ``observation`` (batch, observation_dim) float32 to ``action`` (batch, *shape) of
    the action's dtype.

    Raises:
        UserError: the package onnx is missing.
    """
    try:
        from onnx import checker, helper
    except ImportError as error:
        raise UserError(
            f"--format onnx needs the package onnx, which is missing; {pip_install('onnx')}"
        ) from error

    graph = _Graph(helper)
    head = network.head
    bound = network.scaling["observation_bound"]
    scaled = graph.add("Sub", "observation", graph.array(network.scaling["observation_mean"]))
    scaled = graph.add("Mul", scaled, graph.array(network.scaling["observation_inverse_std"]))
    values = graph.add("Max", graph.add("Min", scaled, graph.array(bound)), graph.array(-bound))
    for layer, (weights, biases) in enumerate(zip(network.weights, network.biases, strict=True)):
        values = graph.add("Gemm", values, graph.array(weights), graph.array(biases), transB=1)
        if layer < len(network.weights) - 1:
            values = graph.add("Tanh", values)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(head["dtype"]))
    decoded = graph.add("Cast", _decode(graph, network, values), to=kind)
    shape = graph.array(np.array([-1, *head["shape"]], np.int64))
    graph.add("Reshape", decoded, shape, output="action")

    float32 = helper.np_dtype_to_tensor_dtype(np.dtype("float32"))
    sizes = ["batch", network.weights[0].shape[1]]
    observation = helper.make_tensor_value_info("observation", float32, sizes)
    action = helper.make_tensor_value_info("action", kind, ["batch", *head["shape"]])
    described = helper.make_graph(graph.nodes, "policy", [observation], [action], graph.constants)
    opsets = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(
        described, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="esengine"
    )
    helper.set_model_props(model, {"env_id": head["env_id"]})
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


class _Graph:
    """The nodes and constants of a graph, with numbered names."""

    def __init__(self, helper: Any) -> None:
        self._helper = helper
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def array(self, values: NDArray[Any]) -> str:
        """Add a constant; returns its name."""
        from onnx import numpy_helper

        name = f"constant{len(self.constants)}"
        self.constants.append(
            numpy_helper.from_array(np.ascontiguousarray(values).reshape(values.shape), name)
        )
        return name

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node; returns its output's name."""
        name = output or f"value{len(self.nodes)}"
        self.nodes.append(self._helper.make_node(operator, list(inputs), [name], **attributes))
        return name


def _decode(graph: _Graph, network: Network, outputs: str) -> str:
    """Add the nodes from (batch, num_outputs) to one number per choice, (batch, num_choices)."""
    head = network.head
    if head["kind"] == "box":
        if head["components"]:
            outputs = _likeliest_mean(graph, head["components"], len(head["sizes"]), outputs)
        bounds = {name: graph.array(values) for name, values in network.bounds.items()}
        reached = graph.add("Mul", outputs, bounds["action_reach"])
        actions = graph.add("Add", reached, bounds["action_center"])
        above = graph.add("Max", actions, bounds["action_low"])
        return graph.add("Min", above, bounds["action_high"])
    if head["kind"] == "multi-binary":
        return graph.add("Greater", outputs, graph.array(np.array(0, np.float32)))

    choices = []
    first = 0
    for size in head["sizes"]:
        part = _columns(graph, outputs, first, first + size)
        choices.append(graph.add("ArgMax", part, axis=1, keepdims=1))
        first += size
    chosen = graph.add("Concat", *choices, axis=1)
    return graph.add("Add", chosen, graph.array(np.array(head["starts"], np.int64)))


def _likeliest_mean(graph: _Graph, components: int, size: int, outputs: str) -> str:
    """The mean (batch, size) of a mixture's likeliest component."""
    best = graph.add("ArgMax", _columns(graph, outputs, 0, components), axis=1, keepdims=1)
    means = _columns(graph, outputs, components, components * (1 + size))
    means = graph.add("Reshape", means, graph.array(np.array([-1, components, size], np.int64)))
    index = graph.add("Unsqueeze", best, graph.array(np.array([2], np.int64)))
    index = graph.add("Mul", index, graph.array(np.ones((1, 1, size), np.int64)))
    mean = graph.add("GatherElements", means, index, axis=1)
    return graph.add("Squeeze", mean, graph.array(np.array([1], np.int64)))


def _columns(graph: _Graph, values: str, begin: int, end: int) -> str:
    numbers = (graph.array(np.array([number], np.int64)) for number in (begin, end, 1))
    return graph.add("Slice", values, *numbers)
