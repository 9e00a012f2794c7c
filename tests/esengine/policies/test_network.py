"""Policies: the compiled network against NumPy and torch, and what each head does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray

from esengine.environments import ActionSpec
from esengine.errors import UserError
from esengine.policies import Actor, PolicySpec
from esengine.policies.forward_pass import forward, forward_reference
from esengine.policies.layer_kernels import fast_tanh
from esengine.policies.layers_apart import network_of

BOX = spaces.Box(np.array([-2, 0], np.float32), np.array([2, 1], np.float32))


def actor_for(
    space: spaces.Space[Any], hidden: tuple[int, ...] = (8, 6), sampled: bool = False, seed: int = 0
) -> Actor:
    spec = PolicySpec(3, ActionSpec.of(space), hidden, sampled)
    parameters = np.random.default_rng(seed).standard_normal(spec.num_parameters).astype(np.float32)
    return Actor(spec, parameters, np.zeros(3, np.float32), np.ones(3, np.float32))


def network(
    spec: PolicySpec, parameters: NDArray[np.float32], observation: NDArray[np.float32]
) -> NDArray[np.float32]:
    mean, inverse_std = np.full(3, 0.1, np.float32), np.full(3, 2.0, np.float32)
    table, *others = network_of(spec.layers, mean, inverse_std)
    outputs, offset = forward(parameters, table, observation, *others)
    assert offset == spec.num_parameters
    return np.array(outputs)


def test_tanh_is_accurate_odd_and_monotone() -> None:
    x = np.linspace(-12, 12, 200_001).astype(np.float32)
    y = np.array([fast_tanh(value) for value in x])
    np.testing.assert_allclose(y, np.tanh(x.astype(np.float64)), atol=5e-7)
    np.testing.assert_array_equal(y, -y[::-1])
    assert np.abs(y).max() <= 1
    assert np.diff(y).min() > -1e-6


@pytest.mark.parametrize("hidden", [(), (5,), (32, 32), (7, 1, 9)])
def test_forward_equals_its_reference(hidden: tuple[int, ...]) -> None:
    random = np.random.default_rng(1)
    spec = PolicySpec(3, ActionSpec.of(BOX), hidden)
    parameters = random.standard_normal(spec.num_parameters).astype(np.float32)
    observation = random.standard_normal(3).astype(np.float32)
    mean, inverse_std = np.full(3, 0.1, np.float32), np.full(3, 2.0, np.float32)
    expected = forward_reference(parameters, spec.layers, observation, mean, inverse_std)
    np.testing.assert_allclose(
        network(spec, parameters, observation), expected, rtol=2e-5, atol=2e-5
    )


def test_forward_equals_torch() -> None:
    torch = pytest.importorskip("torch")
    spec = PolicySpec(3, ActionSpec.of(BOX), (16, 16))
    parameters = np.random.default_rng(2).standard_normal(spec.num_parameters).astype(np.float32)
    observation = np.array([0.3, -0.2, 1.0], np.float32)
    values = torch.from_numpy((observation - np.float32(0.1)) * np.float32(2))
    offset = 0
    for layer, (inputs, outputs) in enumerate([(3, 16), (16, 16), (16, 2)]):
        weights = torch.from_numpy(
            parameters[offset : offset + inputs * outputs].reshape(inputs, outputs)
        )
        bias = torch.from_numpy(
            parameters[offset + inputs * outputs : offset + (inputs + 1) * outputs]
        )
        values = values @ weights + bias
        values = torch.tanh(values) if layer < 2 else values
        offset += (inputs + 1) * outputs
    np.testing.assert_allclose(
        network(spec, parameters, observation), values.numpy(), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize(
    "space",
    [
        BOX,
        spaces.Box(-np.inf, np.inf, (2,), np.float64),
        spaces.Box(0, 255, (2, 2), np.uint8),
        spaces.Discrete(4, start=-2),
        spaces.MultiDiscrete([2, 5], start=[1, -1]),
        spaces.MultiBinary((2, 2)),
    ],
    ids=str,
)
def test_every_action_lies_in_its_space(space: spaces.Space[Any], sampled: bool) -> None:
    actor = actor_for(space, sampled=sampled)
    for step in range(200):
        observation = np.random.default_rng(step).standard_normal(3).astype(np.float32) * 3
        assert space.contains(actor.act(observation, key=5, step=step))


def test_a_box_output_of_one_is_the_upper_bound() -> None:
    actor = actor_for(BOX, hidden=())
    actor.parameters[:] = 0
    actor.parameters[-2:] = [1.0, -1.0]
    np.testing.assert_allclose(actor.act(np.zeros(3, np.float32)), [2.0, 0.0])
    actor.parameters[-2:] = [9.0, 0.0]
    np.testing.assert_allclose(actor.act(np.zeros(3, np.float32)), [2.0, 0.5])


def test_equal_outputs_take_the_first_choice() -> None:
    actor = actor_for(spaces.Discrete(4), hidden=())
    actor.parameters[:] = 0
    assert actor.act(np.zeros(3, np.float32)) == 0


def test_sampled_choices_follow_the_softmax() -> None:
    actor = actor_for(spaces.Discrete(3), hidden=(), sampled=True)
    actor.parameters[:] = 0
    logits = np.array([0.0, 1.0, -1.0])
    actor.parameters[-3:] = logits
    choices = [actor.act(np.zeros(3, np.float32), key=1, step=step) for step in range(20_000)]
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(np.bincount(choices) / 20_000, expected, atol=0.015)


def test_sampled_box_actions_have_the_policys_deviation() -> None:
    actor = actor_for(spaces.Box(-np.inf, np.inf, (2,), np.float64), hidden=(), sampled=True)
    actor.parameters[:] = 0
    actor.parameters[-2:] = np.log([0.5, 2.0])
    actions = np.array(
        [actor.act(np.zeros(3, np.float32), key=2, step=step) for step in range(20_000)]
    )
    np.testing.assert_allclose(actions.std(0), [0.5, 2.0], rtol=0.03)
    np.testing.assert_allclose(actions.mean(0), 0, atol=0.05)
    assert abs(np.corrcoef(actions.T)[0, 1]) < 0.03


def test_sampled_bits_follow_the_logistic() -> None:
    actor = actor_for(spaces.MultiBinary(2), hidden=(), sampled=True)
    actor.parameters[:] = 0
    actor.parameters[-2:] = [1.0, -2.0]
    bits = np.array(
        [actor.act(np.zeros(3, np.float32), key=3, step=step) for step in range(20_000)]
    )
    np.testing.assert_allclose(bits.mean(0), 1 / (1 + np.exp([-1.0, 2.0])), atol=0.015)


def test_a_sampled_action_is_a_function_of_key_and_step() -> None:
    actor = actor_for(BOX, sampled=True)
    observation = np.ones(3, np.float32)
    first = actor.act(observation, key=8, step=3)
    actor.act(observation, key=9, step=4)
    np.testing.assert_array_equal(actor.act(observation, key=8, step=3), first)
    assert (actor.act(observation, key=8, step=4) != first).any()


def test_observations_are_scaled_and_clipped() -> None:
    actor = actor_for(spaces.Box(-np.inf, np.inf, (1,), np.float64), hidden=())
    actor.parameters[:] = [1, 0, 0, 0]
    actor.observation_mean = np.array([2, 0, 0], np.float32)
    actor.observation_inverse_std = np.array([0.5, 1, 1], np.float32)
    assert actor.act(np.array([4, 0, 0], np.float32))[0] == 1
    assert actor.act(np.array([400, 0, 0], np.float32))[0] == 5
    actor.parameters[:] = [0, 1, 0, 0]
    assert actor.act(np.array([0, 400, 0], np.float32))[0] == 400, "a raw input is not clipped"


def test_wrong_parameters_are_refused() -> None:
    spec = PolicySpec(3, ActionSpec.of(BOX))
    with pytest.raises(UserError, match="must have 8 parameters"):
        Actor(spec, np.zeros(7, np.float32), np.zeros(3, np.float32), np.ones(3, np.float32))


def test_initial_hidden_weights_depend_on_the_seed_and_outputs_start_at_zero() -> None:
    spec = PolicySpec(3, ActionSpec.of(BOX), (8,))
    first, second = spec.initial_parameters(0), spec.initial_parameters(1)
    assert (first[:24] != second[:24]).all()
    assert (first[24:] == 0).all()
    assert (PolicySpec(3, ActionSpec.of(BOX)).initial_parameters(0) == 0).all()
