"""Convolutions of pictures against NumPy and torch, from the environment's bytes to the action."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from esengine.environments import ActionSpec, ObservationSpec, picture_in
from esengine.errors import UserError
from esengine.launch.settings.groups import parse_convolutions
from esengine.launch.settings.parse_train import parse_train
from esengine.launch.training.problem_from_settings import environment_problem
from esengine.policies import Policy, PolicySpec, load_policy, save_policy
from esengine.policies.forward_pass import forward, forward_reference
from esengine.policies.layers_apart import network_of
from esengine.policies.network import picture_of
from esengine.policies.torch_network import TorchPolicy
from esengine.problems import EnvironmentProblem

ACTION = ActionSpec.of(spaces.Discrete(5))
NETWORKS: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((10, 10, 4), {"convolutions": ((16, 3, 1),)}),
    ((4, 21, 19), {"convolutions": ((19, 5, 2), (7, 3, 1))}),
    ((12, 9), {"convolutions": ((32, 4, 3),), "memory": "gru", "activation": "relu"}),
    ((6, 7, 3), {"convolutions": ((5, 3, 2),), "picture_offset": 2, "layer_norm": True}),
]


def drawn(shape: tuple[int, ...], network: dict[str, Any]) -> tuple[PolicySpec, Any, Any, Any]:
    """An architecture, parameters, pictures and their scaling."""
    size = int(np.prod(shape)) + (5 if "picture_offset" in network else 0)
    spec = PolicySpec(size, ACTION, (9,), observation_shape=shape, **network)
    random = np.random.default_rng(0)
    parameters = random.normal(0, 0.3, spec.num_parameters).astype(np.float32)
    pictures = random.integers(0, 256, (3, size)).astype(np.float32)
    scaling = (np.zeros(size, np.float32), np.full(size, 1 / 255, np.float32))
    return spec, parameters, pictures, scaling


@pytest.mark.parametrize(("shape", "network"), NETWORKS, ids=str)
def test_a_picture_is_seen_as_by_numpy_and_torch(
    shape: tuple[int, ...], network: dict[str, Any]
) -> None:
    spec, parameters, pictures, scaling = drawn(shape, network)
    compiled = network_of(spec.layers, *scaling)
    outputs = []
    for picture in pictures:
        values, offset = forward(parameters, compiled[0], picture, *compiled[1:])
        assert offset == spec.num_parameters
        outputs.append(values.copy())

    state = np.zeros(compiled[4].size, np.float32)
    twin = [
        forward_reference(parameters, spec.layers, row, scaling[0], scaling[1], state)
        for row in pictures
    ]
    np.testing.assert_allclose(outputs, twin, rtol=1e-4, atol=1e-5)
    policy = TorchPolicy(spec, parameters, *scaling)
    rows = torch.tensor(pictures)
    with torch.no_grad():
        found = policy.outputs(rows[:, None] if spec.is_recurrent else rows).reshape(3, 5)
    np.testing.assert_allclose(outputs, found.numpy(), rtol=1e-4, atol=1e-5)


def test_a_dictionary_is_a_picture_and_the_numbers_beside_it() -> None:
    parts: dict[str, spaces.Space[Any]] = {
        "arm": spaces.Box(-1, 1, (3,)),
        "camera": spaces.Box(0, 255, (6, 7, 3), np.uint8),
        "gripper": spaces.Discrete(2),
    }
    space = spaces.Dict(parts)
    offset, picture = picture_in(space)
    assert (offset, picture) == (3, parts["camera"])
    flat = ObservationSpec.of(space).flat(space, space.sample())
    assert flat.size == 3 + 6 * 7 * 3 + 2
    with pytest.raises(ValueError, match="one picture, got 0"):
        picture_in(parts["arm"])


def test_the_first_of_stacked_frames_is_the_first_channel() -> None:
    assert picture_of((4, 84, 84)) == ((84, 84, 4), True)
    assert picture_of((84, 84, 3)) == ((84, 84, 3), False)
    assert picture_of((7, 5)) == ((7, 5, 1), False)


def test_a_policy_file_keeps_the_convolutions(tmp_path: Any) -> None:
    from esengine.environments import EnvironmentSpec

    spec, parameters, pictures, scaling = drawn(*NETWORKS[1])
    file = tmp_path / "policy.safetensors"
    save_policy(
        file, Policy(spec, parameters, scaling[0], scaling[1], EnvironmentSpec("CartPole-v1"))
    )
    loaded = load_policy(file)
    assert loaded.spec == spec
    assert loaded.act(pictures[0].astype(np.uint8).reshape(4, 21, 19)) in range(5)


@pytest.mark.parametrize("text", ["16", "16x8", "0x8/4", "16x8/0", "ax8/4", "16x8/4,"])
def test_a_convolution_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="filters x kernel / stride each"):
        parse_convolutions(("16x8/4", text))


def checked_problem(arguments: list[str]) -> EnvironmentProblem:
    config = parse_train(arguments)
    config.train.check()
    return environment_problem(config)


def test_flags_give_convolutions_that_fit_the_environment() -> None:
    flags = ["openai-es", "--env-id", "examples.catch:Catch-v0", "--policy", "conv"]
    problem = checked_problem(flags)
    assert problem.policy.convolutions == ((16, 3, 1),)
    np.testing.assert_array_equal(problem.scaling()[1], np.float32(1 / 255))
    assert not problem.observes
    for others, part in (
        (["--convolutions", "16x3/1", "8x7/1"], "a kernel of 7 pixels in a picture of 6 x 6"),
        (["--env-id", "CartPole-v1"], "must have one picture, got 0"),
        (["--policy", "mlp", "--convolutions", "16x3/1"], "must be used with --policy conv"),
        (["--policy", "cnn"], "--policy must be auto"),
    ):
        with pytest.raises(UserError, match=part):
            checked_problem(flags + others)
