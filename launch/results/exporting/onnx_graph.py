"""A policy as an ONNX graph, made without torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.errors import UserError, pip_install
from esengine.launch.results.exporting.network import ExportedLayer, Network

_OPSET = 17  # of 2022: old enough for every runtime
_IR_VERSION = 8
_ACTIVATIONS = {"tanh": "Tanh", "relu": "Relu", "elu": "Elu"}


def onnx_bytes(network: Network) -> bytes:
    """The model: ``observation`` (batch, observation_dim) float32 to ``action`` (batch, *shape) of
    the action's dtype. That of a recurrent policy also maps ``state`` to ``next_state``, (batch,
    state_size) float32.

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
    states: list[str] = []
    for layer in network.layers:
        values = _layer(graph, layer, values, states)
        if layer.activation != "identity":
            values = graph.add(_ACTIVATIONS[layer.activation], values)
    if states:
        graph.add("Concat", *states, axis=1, output="next_state")
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(head["dtype"]))
    decoded = graph.add("Cast", _decode(graph, network, values), to=kind)
    shape = graph.array(np.array([-1, *head["shape"]], np.int64))
    graph.add("Reshape", decoded, shape, output="action")

    float32 = helper.np_dtype_to_tensor_dtype(np.dtype("float32"))
    sizes: list[Any] = ["batch", bound.size]
    inputs = [helper.make_tensor_value_info("observation", float32, sizes)]
    outputs = [helper.make_tensor_value_info("action", kind, ["batch", *head["shape"]])]
    if states:
        sizes = ["batch", head["state_size"]]
        inputs.append(helper.make_tensor_value_info("state", float32, sizes))
        outputs.append(helper.make_tensor_value_info("next_state", float32, sizes))
    described = helper.make_graph(graph.nodes, "policy", inputs, outputs, graph.constants)
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


def _layer(graph: _Graph, layer: ExportedLayer, values: str, states: list[str]) -> str:
    """Add the nodes of a layer without its activation; a recurrent one appends its new state."""
    arrays = {name: graph.array(array) for name, array in layer.arrays.items()}
    if layer.kind == "dense":
        return graph.add("Gemm", values, arrays["weight"], arrays["bias"], transB=1)
    if layer.kind == "layer-norm":
        return graph.add(
            "LayerNormalization", values, arrays["weight"], arrays["bias"], axis=-1, epsilon=1e-5
        )

    assert not states  # a policy has one recurrent layer
    size = layer.arrays["weight_hh"].shape[1]
    h = _columns(graph, "state", 0, size)
    from_input = graph.add("Gemm", values, arrays["weight_ih"], arrays["bias_ih"], transB=1)
    from_state = graph.add("Gemm", h, arrays["weight_hh"], arrays["bias_hh"], transB=1)

    def gate(number: int, part: str) -> str:
        return _columns(graph, part, number * size, (number + 1) * size)

    def both(number: int, function: str) -> str:
        return graph.add(
            function, graph.add("Add", gate(number, from_input), gate(number, from_state))
        )

    if layer.kind == "gru":
        r, z = (both(number, "Sigmoid") for number in (0, 1))
        reset = graph.add("Mul", r, gate(2, from_state))
        c = graph.add("Tanh", graph.add("Add", gate(2, from_input), reset))
        h = graph.add("Add", c, graph.add("Mul", z, graph.add("Sub", h, c)))
        states.append(h)
        return h

    i, f, o = (both(number, "Sigmoid") for number in (0, 1, 3))
    kept = graph.add("Mul", f, _columns(graph, "state", size, 2 * size))
    memory = graph.add("Add", kept, graph.add("Mul", i, both(2, "Tanh")))
    h = graph.add("Mul", o, graph.add("Tanh", memory))
    states += [h, memory]
    return h


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
