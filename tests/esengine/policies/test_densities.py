"""How likely a policy does what was done: the kernel against its twin, and against what the policy
itself draws.
"""

from __future__ import annotations

import math

import gymnasium
import numpy as np
import pytest

from esengine.environments import ActionSpec
from esengine.errors import UserError
from esengine.policies import Actor, PolicySpec
from esengine.policies.densities import (
    check_density,
    log_densities,
    log_densities_reference,
    log_normal_tail,
)
from esengine.policies.forward_pass import forward_reference

SPACES = (
    gymnasium.spaces.Box(np.array([-2.0, -1.0], np.float32), np.array([2.0, 3.0], np.float32)),
    gymnasium.spaces.Discrete(3, start=5),
    gymnasium.spaces.MultiDiscrete([2, 4]),
    gymnasium.spaces.MultiBinary(3),
)


def policy(space: gymnasium.Space[object], scale: float = 1.0) -> Actor:
    spec = PolicySpec(3, ActionSpec.of(space), (5,), sampled=True)
    row = (scale * np.random.default_rng(0).standard_normal(spec.num_parameters)).astype(np.float32)
    return Actor(spec, row, np.zeros(3, np.float32), np.ones(3, np.float32))


@pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)
def test_the_kernel_equals_its_twin_on_what_the_policy_draws(
    space: gymnasium.Space[object],
) -> None:
    actor, random = policy(space), np.random.default_rng(1)
    observations = random.standard_normal((60, 3)).astype(np.float32)
    choices = []
    for step, observation in enumerate(observations):
        actor.act(observation, 3, step)
        choices.append(actor._decoded.copy())
    layers, done = actor.spec.layers, np.array(choices)
    outputs = forward_reference(
        actor.parameters,
        layers,
        observations,
        actor.observation_mean,
        actor.observation_inverse_std,
    )
    stds = actor.parameters[len(actor.parameters) - actor.spec.num_log_stds :]
    expected = log_densities_reference(actor.spec, outputs, stds, done)
    found = log_densities(actor, actor.parameters[None], observations, done)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    if isinstance(space, gymnasium.spaces.Box):
        assert (
            np.abs(done - actor.spec.action.center()) >= actor.spec.action.reach()
        ).any()  # some are on their bounds


def test_a_clipped_action_and_the_inside_add_up_to_one() -> None:
    actor = policy(gymnasium.spaces.Box(-1.0, 1.0, (1,)), 0.5)
    grid = np.linspace(-1, 1, 4001)[:, None]
    states = np.zeros((4001, 3), np.float32)
    densities = np.exp(log_densities(actor, actor.parameters[None], states, grid)[0])
    inside = (
        float(np.sum((densities[1:-2] + densities[2:-1]) / 2) * (2 / 4000))
        + densities[1] * 2 / 4000 / 2 * 2
    )
    assert densities[0] + densities[-1] + inside == pytest.approx(1, abs=1e-3)


def test_the_tail_of_a_normal_goes_on_where_the_error_function_underflows() -> None:
    assert log_normal_tail(0.0) == pytest.approx(math.log(0.5))
    assert log_normal_tail(-8.0 - 1e-9) == pytest.approx(log_normal_tail(-8.0 + 1e-9), rel=1e-6)
    assert log_normal_tail(-40.0) == pytest.approx(-804.608442, rel=1e-8)


def test_a_deterministic_policy_has_no_density() -> None:
    with pytest.raises(UserError, match="a deterministic one has no density"):
        check_density(PolicySpec(3, ActionSpec.of(SPACES[0])), "airl")
    with pytest.raises(UserError, match="a mixture of 2"):
        check_density(PolicySpec(3, ActionSpec.of(SPACES[0]), components=2), "airl")
