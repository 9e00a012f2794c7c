"""Networks of other libraries as the start of a policy: ONNX graphs and models of
Stable-Baselines3.

Both become compiled dense layers, so nothing of the other library is needed to run them. A model's
zip is read without unpickling: its tensors by torch's safe reader, and its settings as text.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.environments import ActionSpec
from esengine.errors import UserError, listed, pip_install
from esengine.policies.network import Activation, PolicySpec
from esengine.storage.file_kinds import foreign_kind
from esengine.storage.files import parse_json, read_bytes

_MOST_BYTES = 1 << 30
_ONNX_ACTIVATIONS: dict[str, Activation] = {"Tanh": "tanh", "Relu": "relu", "Elu": "elu"}


@dataclass(frozen=True)
class ForeignNetwork:
    """Dense layers with one activation between them.

    Attributes:
        weights: of each layer, (outputs, inputs) float32.
        biases: of each layer, (outputs,) float32.
        activation: after all layers but the last.
    """

    weights: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]
    activation: Activation

    def __post_init__(self) -> None:
        sizes = [(self.weights[0].shape[1], None)] if self.weights else []
        width = sizes[0][0] if sizes else 0
        for weights, biases in zip(self.weights, self.biases, strict=True):
            if weights.ndim != 2 or weights.shape[1] != width or biases.shape != weights.shape[:1]:
                raise ValueError("its layers do not fit each other")
            if not (np.isfinite(weights).all() and np.isfinite(biases).all()):
                raise ValueError("its weights must be finite")
            width = len(biases)
        if not self.weights:
            raise ValueError("it has no dense layers")

    def as_policy(
        self, path: Path, observation_dim: int, action: ActionSpec
    ) -> tuple[PolicySpec, NDArray[np.float32]]:
        """The architecture and the parameters of a policy that does the same.

        Args:
            path: of the file, for messages.
            observation_dim, action: of the environment.

        Raises:
            UserError: the network has other inputs or outputs.
        """
        hidden = tuple(len(biases) for biases in self.biases[:-1])
        spec = PolicySpec(observation_dim, action, hidden, activation=self.activation)
        found = (self.weights[0].shape[1], len(self.biases[-1]))
        if found != (observation_dim, spec.num_outputs):
            raise UserError(
                f"{path} must have {observation_dim} inputs and {spec.num_outputs} outputs for "
                f"{action.in_words}, got {found[0]} and {found[1]}"
            )

        parts = [
            part
            for weights, biases in zip(self.weights, self.biases, strict=True)
            for part in (weights.T.ravel(), biases)
        ]
        return spec, np.concatenate(parts).astype(np.float32)


def load_foreign(
    path: Path, observation_dim: int, action: ActionSpec
) -> tuple[PolicySpec, NDArray[np.float32]]:
    """The policy in a file of another library, see `ForeignNetwork.as_policy`.

    Raises:
        UserError: there is no such file, it is of another kind, or has what dense layers do not.
    """
    wanted = "a model of Stable-Baselines3" if path.suffix.lower() == ".zip" else "an ONNX graph"
    try:
        found = foreign_kind(path)
        if found != wanted:
            raise UserError(f"{path} must be {wanted}, got {found or 'another file'}")
        image = read_bytes(path, _MOST_BYTES)
        if path.suffix.lower() == ".zip":
            return _stable_baselines3(image, action).as_policy(path, observation_dim, action)
        return _onnx(image).as_policy(path, observation_dim, action)
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} must be {wanted} of dense layers, but: {error}") from error


def _onnx(image: bytes) -> ForeignNetwork:
    """The layers of a graph that is one chain of dense layers and activations."""
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise UserError(
            f"an ONNX graph needs the package onnx, which is missing; {pip_install('onnx')}"
        ) from error
    try:
        graph = onnx.load_model_from_string(image).graph
    except Exception as error:  # of protobuf's own kind
        raise ValueError(f"it cannot be read: {error}") from error

    chain = _Chain(graph, numpy_helper.to_array)
    for node in graph.node:
        attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        chain.add(node, attributes)
    return chain.network()


class _Chain:
    """The layers of a graph whose operators follow each other.

    Args:
        graph: of an ONNX model.
        to_array: reads its tensors.

    Raises:
        ValueError: it has several inputs or outputs.
    """

    def __init__(self, graph: Any, to_array: Any) -> None:
        self._to_array = to_array
        self._constants = {one.name: to_array(one) for one in graph.initializer}
        inputs = [one.name for one in graph.input if one.name not in self._constants]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise ValueError(f"it must have one input and one output, got {listed(inputs)}")
        self._value = inputs[0]
        self._weights: list[NDArray[np.float32]] = []
        self._biases: list[NDArray[np.float32]] = []
        self._activations: list[str] = []

    def add(self, node: Any, attributes: dict[str, Any]) -> None:
        """Take the next operator. Raises ValueError for one that is no part of dense layers."""
        if node.op_type == "Constant":
            self._constants[node.output[0]] = self._to_array(attributes["value"])
            return
        arrays = [self._constants[name] for name in node.input if name in self._constants]
        if [name for name in node.input if name not in self._constants] != [self._value]:
            raise ValueError(f"its operators must follow each other, got {node.op_type} beside one")
        self._value = node.output[0]

        is_open = len(self._activations) < len(self._weights)  # a layer without an activation
        if node.op_type in ("Gemm", "MatMul") and not is_open:
            self._begin_layer(arrays, attributes)
        elif node.op_type == "Add" and is_open:
            self._biases[-1] = np.asarray(self._biases[-1] + arrays[0].ravel(), np.float32)
        elif node.op_type in _ONNX_ACTIVATIONS and is_open:
            if attributes.get("alpha", 1.0) != 1.0:
                raise ValueError(f"its {node.op_type} must have alpha 1, got {attributes}")
            self._activations.append(node.op_type)
        elif node.op_type not in ("Identity", "Flatten", "Dropout"):
            known = listed(["Gemm", "MatMul", "Add", *_ONNX_ACTIVATIONS])
            raise ValueError(f"its operators must be {known} in turns, got {node.op_type}")

    def _begin_layer(self, arrays: list[Any], attributes: dict[str, Any]) -> None:
        matrix = arrays[0] * attributes.get("alpha", 1.0)
        self._weights.append(np.asarray(matrix if attributes.get("transB") else matrix.T, "f4"))
        biases = np.zeros(len(self._weights[-1]), np.float32)
        if len(arrays) > 1:
            biases += np.asarray(arrays[1] * attributes.get("beta", 1.0), np.float32)
        self._biases.append(biases)

    def network(self) -> ForeignNetwork:
        """The layers. Raises ValueError where activations are not the same between all of them."""
        kinds = self._activations
        if len(kinds) != len(self._weights) - 1 or len(set(kinds)) > 1:
            raise ValueError(
                f"it must have one kind of activation, after all layers but the last, got "
                f"{listed(kinds) or 'none'} after {len(self._weights)} layers"
            )
        activation = _ONNX_ACTIVATIONS[kinds[0]] if kinds else "tanh"
        return ForeignNetwork(tuple(self._weights), tuple(self._biases), activation)


def _stable_baselines3(image: bytes, action: ActionSpec) -> ForeignNetwork:
    """The network that a model's deterministic actions come from."""
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"a model of Stable-Baselines3 needs torch, which is missing; {pip_install('torch')}"
        ) from error

    with zipfile.ZipFile(io.BytesIO(image)) as file:
        settings = parse_json(_member(file, "data"))
        tensors = torch.load(
            io.BytesIO(_member(file, "policy.pth")), map_location="cpu", weights_only=True
        )
    arrays = {name: np.asarray(value.detach().numpy()) for name, value in tensors.items()}

    layers = _layers_of(arrays, "mlp_extractor.policy_net")
    if "action_net.weight" in arrays:
        layers.append("action_net")
    else:
        layers = _layers_of(arrays, "q_net.q_net")
    if not layers or any("cnn" in name or "lstm" in name for name in arrays):
        raise ValueError(
            "only the MlpPolicy of PPO, A2C and DQN has dense layers up to the action; SAC and TD3 "
            "squash it"
        )

    weights = [np.asarray(arrays[f"{name}.weight"], np.float32) for name in layers]
    biases = [np.asarray(arrays[f"{name}.bias"], np.float32) for name in layers]
    if action.kind == "box":  # its outputs are actions, ours are halves of their range
        reach = action.reach()
        weights[-1] = (weights[-1] / reach[:, None]).astype(np.float32)
        biases[-1] = ((biases[-1] - action.center()) / reach).astype(np.float32)
    default: Activation = "relu" if layers[-1].startswith("q_net") else "tanh"
    return ForeignNetwork(tuple(weights), tuple(biases), _activation(settings, default))


def _layers_of(arrays: dict[str, Any], prefix: str) -> list[str]:
    """The names of the dense layers of a ``torch.nn.Sequential``, the first one first."""
    numbers = sorted(
        int(name.removeprefix(f"{prefix}.").removesuffix(".weight"))
        for name in arrays
        if name.startswith(f"{prefix}.") and name.endswith(".weight")
    )
    return [f"{prefix}.{number}" for number in numbers]


def _member(file: zipfile.ZipFile, name: str) -> bytes:
    if file.getinfo(name).file_size > _MOST_BYTES:
        raise ValueError(f"its {name} claims {file.getinfo(name).file_size} bytes")
    return file.read(name)


def _activation(settings: Any, default: Activation) -> Activation:
    """The activation that a model's settings name in their readable part."""
    text = str(settings.get("policy_kwargs", "")) if isinstance(settings, dict) else ""
    for name in ("Tanh", "ReLU", "ELU"):
        if f"activation.{name}'" in text:
            return _ONNX_ACTIVATIONS[name.capitalize()]
    if "activation_fn" in text:
        raise ValueError("its activation must be Tanh, ReLU or ELU")
    return default
