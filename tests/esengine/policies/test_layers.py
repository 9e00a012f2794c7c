"""The layers of compiled networks against NumPy and torch, and the state of recurrent ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from esengine.environments import ActionSpec, EnvironmentSpec
from esengine.policies import Actor, Policy, PolicySpec
from esengine.policies.forward_pass import forward, forward_reference
from esengine.policies.lanes import LANES, aligned, forward_in_lanes
from esengine.policies.layers import LONGEST_MEMORY
from esengine.policies.layers_apart import network_of
from esengine.policies.torch_network import TorchPolicy

MEAN, INVERSE_STD = np.full(3, 0.1, np.float32), np.full(3, 2.0, np.float32)
ACTION = ActionSpec.of(spaces.Discrete(5))
NETWORKS = [
    {"activation": "relu"},
    {"activation": "elu"},
    {"layer_norm": True},
    {"layer_norm": True, "activation": "relu", "memory": "gru"},
    {"memory": "gru"},
    {"memory": "lstm"},
]


def spec_of(network: dict[str, Any], hidden: tuple[int, ...] = (9, 7)) -> PolicySpec:
    return PolicySpec(3, ACTION, hidden, **network)


def drawn(spec: PolicySpec, seed: int = 0, steps: int = 12) -> tuple[Any, NDArray[np.float32]]:
    """Parameters and the observations of an episode."""
    random = np.random.default_rng(seed)
    parameters = random.standard_normal(spec.num_parameters).astype(np.float32)
    return parameters, random.standard_normal((steps, 3)).astype(np.float32)


def run(spec: PolicySpec, parameters: Any, observations: Any) -> NDArray[np.float32]:
    network = network_of(spec.layers, MEAN, INVERSE_STD)
    outputs = []
    for observation in observations:
        values, offset = forward(parameters, network[0], observation, *network[1:])
        assert offset == spec.num_parameters
        outputs.append(values.copy())
    return np.array(outputs)


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_a_network_equals_its_twin_step_by_step(network: dict[str, Any]) -> None:
    spec = spec_of(network)
    parameters, observations = drawn(spec)
    state = np.zeros(sum(layer.state_size for layer in spec.layers), np.float32)
    expected = [
        forward_reference(parameters, spec.layers, row, MEAN, INVERSE_STD, state)
        for row in observations
    ]
    np.testing.assert_allclose(run(spec, parameters, observations), expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_the_differentiable_network_equals_it_over_an_episode_in_parts(
    network: dict[str, Any],
) -> None:
    spec = spec_of(network)
    parameters, observations = drawn(spec)
    policy = TorchPolicy(spec, parameters, MEAN, INVERSE_STD)
    episode = torch.tensor(observations)[:, None]
    with torch.no_grad():
        first, state = policy.sequence(episode[:5], None)
        last, _ = policy.sequence(episode[5:], state)
    found = torch.cat([first, last])[:, 0].numpy()
    np.testing.assert_allclose(run(spec, parameters, observations), found, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("memory", ["gru", "lstm"])
def test_a_recurrent_layer_equals_torchs_own(memory: Any) -> None:
    spec = spec_of({"memory": memory}, (7,))
    parameters, observations = drawn(spec)
    layer = spec.layers[0]
    theirs = (torch.nn.GRU if memory == "gru" else torch.nn.LSTM)(3, 7)
    head = torch.nn.Linear(7, 5)
    parts, offset = [], 0
    for inputs, outputs in (*layer.shapes, *spec.layers[1].shapes):
        weights = parameters[offset : offset + inputs * outputs].reshape(inputs, outputs)
        offset += weights.size
        parts.append((torch.tensor(weights.T), torch.tensor(parameters[offset : offset + outputs])))
        offset += outputs
    (w_i, b_i), (w_h, b_h), (w, b) = parts
    theirs.load_state_dict(
        {"weight_ih_l0": w_i, "bias_ih_l0": b_i, "weight_hh_l0": w_h, "bias_hh_l0": b_h}
    )
    head.load_state_dict({"weight": w, "bias": b})
    with torch.no_grad():
        scaled = torch.tensor((observations - MEAN) * INVERSE_STD).clamp(-5, 5)
        expected = head(theirs(scaled)[0]).numpy()
    np.testing.assert_allclose(run(spec, parameters, observations), expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_lanes_compute_the_same_bits(network: dict[str, Any]) -> None:
    spec = spec_of(network)
    rows, episodes = zip(*[drawn(spec, seed) for seed in range(LANES)], strict=True)
    weights = aligned(spec.num_parameters)
    weights[:] = np.array(rows).T
    compiled = network_of(spec.layers, MEAN, INVERSE_STD)
    work = aligned(4 * compiled[3].shape[1]).reshape(4, -1, LANES)
    states = aligned(compiled[4].size)
    found = []
    for observations in np.stack(episodes, axis=2):
        last = forward_in_lanes(weights, *compiled[:3], observations, work, states)
        found.append(work[last, :5].copy())
    for lane in range(LANES):
        np.testing.assert_array_equal(
            np.array(found)[:, :, lane], run(spec, rows[lane], episodes[lane])
        )


def test_an_episode_begins_without_memory() -> None:
    spec = spec_of({"memory": "gru"})
    parameters, observations = drawn(spec, steps=40)
    actor = Actor(spec, parameters, MEAN, INVERSE_STD)

    def episode() -> list[Any]:
        return [actor.act(row, step=step) for step, row in enumerate(observations)]

    first = episode()
    assert episode() == first
    assert [actor.act(row) for row in observations] != first, "the policy makes no use of memory"


def test_a_loaded_policy_counts_steps_and_forgets_at_a_reset() -> None:
    spec = spec_of({"memory": "gru"})
    parameters, observations = drawn(spec, steps=40)
    policy = Policy(spec, parameters, MEAN, INVERSE_STD, EnvironmentSpec("CartPole-v1"))
    first = [policy.act(row) for row in observations]
    assert [policy.act(row) for row in observations] != first, "it goes on without a reset"
    policy.reset()
    assert [policy.act(row) for row in observations] == first
    assert [policy.act(row, step=step) for step, row in enumerate(observations)] == first


def test_a_recurrent_policy_begins_by_remembering() -> None:
    for memory, first in (("gru", 7 * 3 * 3 + 7), ("lstm", 7 * 3 * 4 + 7)):
        parameters = spec_of({"memory": memory}, (7,)).initial_parameters(0)
        kept = 1 / (1 + np.exp(-parameters[first : first + 7].astype(np.float64)))
        np.testing.assert_allclose(1 / (1 - kept[[0, -1]]), [2, LONGEST_MEMORY], rtol=1e-5)
        assert (np.diff(kept) > 0).all()
