"""Policy files from friends and strangers."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from safetensors.numpy import save

from esengine.demonstrations.experts import load_expert
from esengine.environments import ActionSpec, EnvironmentSpec
from esengine.errors import UserError
from esengine.policies import Policy, PolicySpec, load_policy, save_policy


def policy() -> Policy:
    spec = PolicySpec(4, ActionSpec.of(gymnasium.spaces.Discrete(2)), (3,))
    parameters = np.random.default_rng(0).standard_normal(spec.num_parameters).astype(np.float32)
    return Policy(
        spec,
        parameters,
        np.full(4, 0.5, np.float32),
        np.full(4, 2, np.float32),
        EnvironmentSpec("CartPole-v1", {"sutton_barto_reward": True}),
    )


def test_a_policy_comes_back_and_acts_the_same(tmp_path: Path) -> None:
    original = policy()
    save_policy(tmp_path / "policy.safetensors", original)
    loaded = load_policy(tmp_path)
    assert (loaded.spec, loaded.environment) == (original.spec, original.environment)
    env = loaded.environment.make()
    observation, _ = env.reset(seed=0)
    for _ in range(20):
        assert loaded.act(observation) == original.act(observation)
        observation, _, terminated, *_ = env.step(loaded.act(observation))
        if terminated:
            observation, _ = env.reset()


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="which does not exist"):
        load_policy(tmp_path / "nothing")
    (tmp_path / "best.json").touch()
    with pytest.raises(UserError, match=r"minimised a function; its best point is in best\.json"):
        load_policy(tmp_path)


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_file_is_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("policies") / "p.safetensors"
    save_policy(path, policy())
    image = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(image) - 1))
        image[position] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(image[: data.draw(st.integers(0, len(image)))]))
    try:
        loaded = load_policy(path)
    except UserError:
        return
    assert loaded.parameters.shape == (loaded.spec.num_parameters,)
    assert np.isfinite(loaded.parameters).all()


def test_another_kind_of_safetensors_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "policy.safetensors").write_bytes(save({"weight": np.zeros(3)}))
    with pytest.raises(UserError, match="got a safetensors file of another kind, which it"):
        load_policy(tmp_path)


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "x" * 100)
    return file.getvalue()


FOREIGN = {
    "a model of Stable-Baselines3": zipped("data", "policy.pth", "_stable_baselines3_version"),
    "a Keras model": zipped("metadata.json", "config.json", "model.weights.h5"),
    "a TorchScript module": zipped("policy/data.pkl", "policy/code/f.py", "policy/constants.pkl"),
    "a PyTorch file": zipped("archive/data.pkl", "archive/version"),
    "an npz of arrays": zipped("weights.npy"),
    "a zip": zipped("readme.txt"),
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(2000),
    "a pickle": pickle.dumps({"weights": [1.0] * 99}),
    "an ONNX graph": b"\x08\x0a\x12\x07pytorch\x1a\x052.1.0" + bytes(99),
    "a text": "θ,1.0\n".encode() * 50,
    "an empty file": b"",
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_of_another_library_is_named_with_the_way_that_works(
    kind: str, tmp_path: Path
) -> None:
    (tmp_path / "model").write_bytes(FOREIGN[kind])
    for load in (load_policy, load_expert):
        with pytest.raises(
            UserError,
            match=f"must be a policy that esengine wrote, got {kind}.*"
            f" collect --expert module:function, .* behavior-cloning",
        ):
            load(str(tmp_path / "model"))


def test_parameters_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    original = policy()
    wrong = Policy(
        original.spec,
        original.parameters[:-1],
        original.observation_mean,
        original.observation_inverse_std,
        original.environment,
    )
    save_policy(tmp_path / "policy.safetensors", wrong)
    with pytest.raises(
        UserError,
        match=r"parameters must be float32 of shape \(23,\), got float32 of shape \(22,\)",
    ):
        load_policy(tmp_path)


@settings(max_examples=30)
@given(
    st.lists(st.integers(1, 9), max_size=3),
    st.booleans(),
    st.sampled_from(["discrete", "multi", "binary", "box"]),
)
def test_every_architecture_comes_back(
    tmp_path_factory: pytest.TempPathFactory, hidden: list[int], sampled: bool, kind: str
) -> None:
    spaces: dict[str, gymnasium.Space[Any]] = {
        "discrete": gymnasium.spaces.Discrete(3, start=-1),
        "multi": gymnasium.spaces.MultiDiscrete(np.array([[2, 3], [4, 5]])),
        "binary": gymnasium.spaces.MultiBinary([2, 2]),
        "box": gymnasium.spaces.Box(
            np.array([-np.inf, -1]), np.array([np.inf, 2]), dtype=np.float64
        ),
    }
    spec = PolicySpec(4, ActionSpec.of(spaces[kind]), tuple(hidden), sampled)
    path = tmp_path_factory.mktemp("policies") / "p.safetensors"
    zeros = np.zeros(spec.num_parameters, np.float32)
    save_policy(
        path,
        Policy(
            spec,
            zeros,
            np.ones(4, np.float32),
            np.ones(4, np.float32),
            EnvironmentSpec("CartPole-v1"),
        ),
    )
    assert load_policy(path).spec == spec
