"""Networks of other libraries become policies that do the same."""

from __future__ import annotations

import io
import itertools
import json
import zipfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from esengine.errors import UserError
from esengine.launch.results.exporting.export import ExportSettings, export
from esengine.launch.results.importing import ImportSettings, import_policy
from esengine.policies import load_policy
from tests.support.policies import untrained_policy


def stable_baselines3_zip(path: Path, tensors: dict[str, Any], settings: Any = None) -> Path:
    """A file as Stable-Baselines3 writes it, as far as it is read."""
    image = io.BytesIO()
    torch.save(tensors, image)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("data", json.dumps(settings or {"policy_kwargs": {}}))
        file.writestr("policy.pth", image.getvalue())
        file.writestr("_stable_baselines3_version", "2.9.0")
    return path


def layers(prefix: str, *sizes: int) -> tuple[nn.Sequential, dict[str, Any]]:
    """Dense layers with a gap for activations, and their tensors by name."""
    torch.manual_seed(len(sizes))
    pairs = itertools.pairwise(sizes)
    modules = [part for pair in pairs for part in (nn.Linear(*pair), nn.Identity())]
    network = nn.Sequential(*modules)
    return network, {f"{prefix}.{name}": value for name, value in network.state_dict().items()}


def imported(file: Path, env_id: str, out: Path) -> Any:
    sentence = import_policy(file, ImportSettings(env_id, out))
    assert "parameters, hidden layers" in sentence
    return load_policy(out)


def test_a_ppo_model_acts_as_in_its_library(tmp_path: Path) -> None:
    hidden, tensors = layers("mlp_extractor.policy_net", 3, 8, 8)
    _, critic = layers("mlp_extractor.value_net", 3, 8, 8)
    last = nn.Linear(8, 1)
    named = {f"action_net.{name}": value for name, value in last.state_dict().items()}
    others = {"log_std": torch.zeros(1), **critic}
    file = stable_baselines3_zip(tmp_path / "ppo.zip", tensors | named | others)
    policy = imported(file, "Pendulum-v1", tmp_path / "policy.safetensors")
    assert policy.spec.hidden_sizes == (8, 8)
    for observation in np.random.default_rng(0).normal(0, 3, (20, 3)).astype(np.float32):
        values = torch.tensor(observation)
        for module in (hidden[0], hidden[2]):
            values = torch.tanh(module(values))
        expected = last(values).clamp(-2, 2).detach().numpy()
        np.testing.assert_allclose(policy.act(observation), expected, rtol=1e-4, atol=1e-5)


def test_a_dqn_model_takes_the_action_of_the_largest_value(tmp_path: Path) -> None:
    network, tensors = layers("q_net.q_net", 4, 8, 2)
    settings = {"policy_kwargs": {"activation_fn": "<class 'torch.nn.modules.activation.ELU'>"}}
    file = stable_baselines3_zip(tmp_path / "dqn.zip", tensors, settings)
    policy = imported(file, "CartPole-v1", tmp_path / "policy.safetensors")
    assert policy.spec.activation == "elu"
    rows = np.random.default_rng(0).normal(0, 3, (40, 4)).astype(np.float32)
    values = network[2](torch.nn.functional.elu(network[0](torch.tensor(rows))))
    assert [policy.act(row) for row in rows] == values.argmax(dim=1).tolist()


def onnx_file(path: Path, activation: str = "Relu", sizes: tuple[int, ...] = (4, 6, 2)) -> Path:
    """A chain of Gemm, MatMul and Add, with an activation between them."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    shapes = [sizes[:2], (sizes[1],), sizes[1:], (sizes[2],)]
    arrays = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    constants = [numpy_helper.from_array(array, f"c{k}") for k, array in enumerate(arrays)]
    nodes = [
        helper.make_node("MatMul", ["x", "c0"], ["a"]),
        helper.make_node("Add", ["a", "c1"], ["b"]),
        helper.make_node(activation, ["b"], ["c"]),
        helper.make_node("Gemm", ["c", "c2", "c3"], ["y"]),
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size])
        for name, size in (("x", sizes[0]), ("y", sizes[2]))
    ]
    graph = helper.make_graph(nodes, "net", values[:1], values[1:], constants)
    path.write_bytes(helper.make_model(graph).SerializeToString())
    return path


def test_an_onnx_graph_acts_as_its_runtime_does(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    file = onnx_file(tmp_path / "net.onnx")
    policy = imported(file, "CartPole-v1", tmp_path / "policy.safetensors")
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    rows = np.random.default_rng(1).normal(size=(40, 1, 4)).astype(np.float32)
    expected: list[NDArray[Any]] = [session.run(None, {"x": row})[0][0] for row in rows]
    assert [policy.act(row[0]) for row in rows] == [int(np.argmax(row)) for row in expected]
    env = gymnasium.make("CartPole-v1")
    assert env.action_space.contains(policy.act(env.reset(seed=0)[0]))


def test_what_is_no_network_of_dense_layers_is_refused(tmp_path: Path) -> None:
    _, squashed = layers("actor.latent_pi", 3, 8)
    saved = untrained_policy(tmp_path / "own.safetensors", "CartPole-v1")
    export(saved, ExportSettings("onnx", tmp_path / "exported.onnx"))
    (tmp_path / "text.zip").write_text("no zip")
    cases = {
        stable_baselines3_zip(tmp_path / "sac.zip", squashed): "SAC and TD3 squash it",
        onnx_file(tmp_path / "sine.onnx", "Sin"): "in turns, got Sin",
        onnx_file(tmp_path / "wide.onnx", sizes=(4, 6, 3)): "2 outputs for .*, got 4 and 3",
        tmp_path / "exported.onnx": "in turns, got Sub",
        tmp_path / "text.zip": "got a text",
        tmp_path / "missing.onnx": "the file must exist",
    }
    for file, part in cases.items():
        with pytest.raises(UserError, match=part) as caught:
            import_policy(file, ImportSettings("CartPole-v1", tmp_path / "policy.safetensors"))
        assert "\n" not in str(caught.value)
