"""Exported policies act as the engine's own, for every kind of action, on random observations."""

from __future__ import annotations

import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray

from esengine.environments import ActionSpec, EnvironmentSpec
from esengine.errors import UserError
from esengine.launch.results.exporting import onnx_graph
from esengine.launch.results.exporting.export import ExportSettings, export
from esengine.launch.results.exporting.network import network_of
from esengine.policies import Policy, PolicySpec, load_policy, save_policy
from tests.conftest import Run

UNEVEN = spaces.Box(np.array([-2, -np.inf, 0], np.float32), np.array([4, np.inf, 1], np.float32))
HEADS: dict[str, tuple[spaces.Space[Any], dict[str, Any]]] = {
    "box": (UNEVEN, {"hidden_sizes": (6, 4)}),
    "deep": (UNEVEN, {"hidden_sizes": (5,) * 6}),
    "linear float64 matrix": (spaces.Box(-1, 1, (2, 2), np.float64), {}),
    "sampled box": (UNEVEN, {"hidden_sizes": (6,), "sampled": True}),
    "mixture": (UNEVEN, {"hidden_sizes": (6,), "components": 3}),
    "discrete": (spaces.Discrete(5, start=-1), {"hidden_sizes": (6,)}),
    "multi-discrete": (spaces.MultiDiscrete([3, 2, 4]), {"hidden_sizes": (6,)}),
    "multi-binary": (spaces.MultiBinary(4), {}),
    "elu": (UNEVEN, {"hidden_sizes": (6, 4), "activation": "elu", "layer_norm": True}),
    "gru": (UNEVEN, {"hidden_sizes": (6, 4), "activation": "relu", "memory": "gru"}),
    "lstm": (spaces.Discrete(5, start=-1), {"hidden_sizes": (6,), "memory": "lstm"}),
}
NUM_OBSERVATIONS, OBSERVATION_DIM = 200, 7


def a_policy(path: Path, head: str) -> Policy:
    """A policy with random weights and scaling."""
    space, how = HEADS[head]
    random = np.random.default_rng(0)
    spec = PolicySpec(OBSERVATION_DIM, ActionSpec.of(space), **how)
    mean, inverse_std = random.normal(size=(2, OBSERVATION_DIM)).astype(np.float32)
    parameters = random.normal(0, 0.7, spec.num_parameters).astype(np.float32)
    policy = Policy(
        spec, parameters, mean, np.abs(inverse_std) + 0.1, EnvironmentSpec("CartPole-v1")
    )
    save_policy(path, policy)
    return policy


def expected(policy: Policy, observations: NDArray[np.float32]) -> NDArray[Any]:
    """The engine's own actions, in the mode of a sampled policy."""
    mode = replace(policy.spec, sampled=False)
    parameters = policy.parameters[: mode.num_parameters]
    actor = Policy(
        mode,
        parameters,
        policy.observation_mean,
        policy.observation_inverse_std,
        policy.environment,
    ).actor()
    return np.array([actor.act(row, step=step) for step, row in enumerate(observations)])


def by_torch(file: Path, observations: NDArray[np.float32]) -> NDArray[Any]:
    torch = pytest.importorskip("torch", reason="needs torch, of the extra [torch]")
    from esengine.launch.results.exporting.torch_module import ExportedPolicy

    module = ExportedPolicy(str(file))
    if module.head["state_size"]:
        state, actions = None, []
        for observation in torch.from_numpy(observations):
            action, state = module(observation[None], state)
            actions.append(action[0].detach().numpy())
        return np.array(actions)
    single: NDArray[Any] = module(torch.from_numpy(observations[0])).detach().numpy()
    every: NDArray[Any] = module(torch.from_numpy(observations)).detach().numpy()
    assert single.shape == every.shape[1:]
    return every


def by_onnx(file: Path, observations: NDArray[np.float32]) -> NDArray[Any]:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    if len(session.get_inputs()) == 1:
        (actions,) = session.run(["action"], {"observation": observations})
        return np.asarray(actions)
    state = np.zeros((1, session.get_inputs()[1].shape[1]), np.float32)
    rows = []
    for observation in observations:
        action, state = session.run(None, {"observation": observation[None], "state": state})
        rows.append(action[0])
    return np.array(rows)


def by_python(file: Path, observations: NDArray[np.float32]) -> NDArray[Any]:
    policy = runpy.run_path(str(file))["policy"]
    if policy.head["state_size"]:
        actions, state = [], np.ones((1, policy.head["state_size"]))
        for step, observation in enumerate(observations):
            action, state = policy.predict(observation, state, np.array([step == 0]))
            actions.append(action)
        return np.array(actions)
    actions, state = policy.predict(
        observations, state="kept", episode_start=np.ones(len(observations)), deterministic=False
    )
    assert state == "kept"
    single = policy(observations[0])
    assert single.shape == actions.shape[1:]
    np.testing.assert_allclose(single, actions[0], rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="must have 7 numbers"):
        policy.predict(observations[:, :5])
    return np.asarray(actions)


FORMATS = {
    "torch": (".safetensors", by_torch),
    "onnx": (".onnx", by_onnx),
    "stable-baselines3": (".py", by_python),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("head", HEADS)
def test_an_exported_policy_acts_as_the_engine_does(tmp_path: Path, head: str, kind: Any) -> None:
    ending, act = FORMATS[kind]
    policy = a_policy(tmp_path / "policy.safetensors", head)
    out = tmp_path / f"exported{ending}"
    export(tmp_path / "policy.safetensors", ExportSettings(kind, out))
    observations = (
        3 * np.random.default_rng(1).normal(size=(NUM_OBSERVATIONS, OBSERVATION_DIM))
    ).astype(np.float32)
    ours, theirs = expected(policy, observations), act(out, observations)
    assert theirs.shape == ours.shape
    if kind != "torch":  # whose module stays in float32
        assert theirs.dtype == policy.spec.action.dtype
    np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-5)
    assert len(np.unique(ours.reshape(len(ours), -1), axis=0)) > 3
    before = out.read_bytes()
    export(tmp_path / "policy.safetensors", ExportSettings(kind, out))
    assert out.read_bytes() == before
    with pytest.raises(UserError, match=r"got (a file of esengine export|an ONNX graph|a text)"):
        load_policy(out)


def test_what_cannot_be_exported_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_policy(tmp_path / "policy.safetensors", "box")
    for settings, part in (
        (ExportSettings("onnx", tmp_path / "policy.pt"), "must end in .onnx for onnx"),
        (ExportSettings("onnx", tmp_path / "no" / "policy.onnx"), "make the folder first"),
    ):
        with pytest.raises(UserError, match=part):
            export(tmp_path / "policy.safetensors", settings)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match="needs the package onnx"):
        onnx_graph.onnx_bytes(network_of(load_policy(tmp_path / "policy.safetensors")))


def test_convolutions_are_not_exported(tmp_path: Path) -> None:
    picture = {"observation_shape": (4, 4, 1), "convolutions": ((2, 3, 1),)}
    spec = PolicySpec(16, ActionSpec.of(HEADS["box"][0]), **picture)  # type: ignore[arg-type]
    weights = np.ones(spec.num_parameters, np.float32)
    scaling = np.ones(16, np.float32)
    policy = Policy(spec, weights, 0 * scaling, scaling, EnvironmentSpec("CartPole-v1"))
    save_policy(tmp_path / "policy.safetensors", policy)
    with pytest.raises(UserError, match=r"got .* with convolutions"):
        export(tmp_path / "policy.safetensors", ExportSettings("onnx", tmp_path / "policy.onnx"))


def test_an_exported_file_needs_numpy_alone(esengine: Run, tmp_path: Path) -> None:
    a_policy(tmp_path / "policy.safetensors", "sampled box")
    result = esengine(
        "export", "policy.safetensors", "--format", "stable-baselines3", "--out", "swimmer.py"
    )
    assert result.returncode == 0, result.stderr
    assert (
        "observation (batch, 7) to action (batch, 3) float32; it takes the likeliest action"
        in result.stdout
    )
    use = (
        "import sys; from swimmer import policy; print(policy([0.0] * 7).shape, {'torch', "
        "'esengine'} & set(sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-c", use], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert found == "(3,) set()\n"
