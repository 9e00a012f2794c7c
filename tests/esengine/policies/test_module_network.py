"""A user's torch module as a policy: it acts as the module does, and what it must be is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from esengine.environments import ActionSpec, EnvironmentSpec
from esengine.errors import UserError
from esengine.policies import Actor, Policy, PolicySpec, load_policy, save_policy
from esengine.policies.torch_network import TorchPolicy
from tests.support import networks

ACTION = ActionSpec.of(spaces.Box(-np.inf, np.inf, (2,), np.float32))
HERE = "tests.support.networks"


def spec_of(name: str, **others: Any) -> PolicySpec:
    return PolicySpec(3, ACTION, module=f"{HERE}:{name}", **others)


def actor_of(spec: PolicySpec, seed: int = 0) -> Actor:
    parameters = spec.initial_parameters(seed)
    return Actor(spec, parameters, np.zeros(3, np.float32), np.ones(3, np.float32))


def episode(actor: Actor, steps: int = 5) -> Any:
    rows = np.random.default_rng(1).standard_normal((steps, 3)).astype(np.float32)
    return np.array([actor.act(row, step=step) for step, row in enumerate(rows)])


def test_a_policy_acts_as_its_module_does() -> None:
    actor = actor_of(spec_of("Plain"))
    module = networks.Plain((3,), 2)
    torch.nn.utils.vector_to_parameters(torch.tensor(actor.parameters), module.parameters())
    rows = torch.tensor(np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32))
    np.testing.assert_allclose(episode(actor), module(rows).detach().numpy(), rtol=1e-6)


def test_the_modules_parameters_are_the_members_row() -> None:
    actor = actor_of(spec_of("Plain"))
    before = episode(actor)
    actor.parameters *= 2
    assert (episode(actor) != before).all()
    actor.parameters = (actor.parameters / 2).astype(np.float32)
    np.testing.assert_array_equal(episode(actor), before)
    assert actor._module is not None
    first = next(actor._module.module.parameters()).detach().numpy()
    assert np.shares_memory(first, actor.parameters)


def test_the_start_is_the_modules_own_and_depends_on_the_seed() -> None:
    spec = spec_of("Plain")
    state = torch.get_rng_state()
    first = spec.initial_parameters(1)
    assert torch.equal(torch.get_rng_state(), state), "the generator of others is left alone"
    np.testing.assert_array_equal(spec.initial_parameters(1), first)
    assert (spec.initial_parameters(2) != first).any()


@pytest.mark.parametrize("name", ["Memory", "Counting"])
def test_an_episode_begins_without_state_and_with_the_buffers_as_made(name: str) -> None:
    actor = actor_of(spec_of(name))
    first = episode(actor)
    np.testing.assert_array_equal(episode(actor), first)
    assert actor.spec.is_recurrent == (name == "Memory")


@pytest.mark.parametrize("name", ["Plain", "Memory"])
def test_gradients_flow_to_the_row(name: str) -> None:
    spec = spec_of(name, sampled=True)
    row = spec.initial_parameters(0)
    row[-2:] = -20.0  # next to no spread
    scaling = (np.zeros(3, np.float32), np.ones(3, np.float32))
    policy = TorchPolicy(spec, row, *scaling)
    rows = torch.tensor(np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32))
    outputs = policy.outputs(rows[:, None] if spec.is_recurrent else rows).reshape(5, 2)
    expected = episode(Actor(spec, row, *scaling))
    np.testing.assert_allclose(outputs.detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    (gradient,) = torch.autograd.grad(outputs.sum(), policy.flat)
    assert (gradient[:-2] != 0).float().mean() > 0.3


@pytest.mark.parametrize(
    ("name", "part"),
    [
        (f"{HERE}:Missing", "must name a class of"),
        ("nowhere.at.all:Net", "must name a module that can be imported"),
        (f"{HERE}:no_class", "must name a class of"),
        (f"{HERE}:math", "must name a class of"),
        ("builtins:dict", "must be a torch.nn.Module, or a function that makes one"),
        (f"{HERE}:NoParameters", "must have parameters to search"),
        (f"{HERE}:TooWide", r"must return outputs of shape \(batch, 2\), got \(1, 3\)"),
        (f"{HERE}:Raising", "raised ArithmeticError: no way forward"),
        (f"{HERE}:Unmade", "raised ArithmeticError: no way to make it"),
        (f"{HERE}:Noisy", "the same episode, got others the second time: it draws from torch's"),
        (f"{HERE}:Remembering", "something in it is left from the steps before"),
        (f"{HERE}:NotFinite", "must return finite outputs"),
        (f"{HERE}:Stateless", "must return outputs and state"),
    ],
)
def test_a_module_that_is_no_policy_is_refused_with_the_reason(name: str, part: str) -> None:
    with pytest.raises(UserError, match=part) as caught:
        _ = PolicySpec(3, ACTION, module=name).num_parameters
    assert "\n" not in str(caught.value)


def test_a_file_with_a_module_does_not_import_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hidden_network.py").write_text("from tests.support.networks import Plain\n")
    monkeypatch.syspath_prepend(tmp_path)
    spec = spec_of("Plain", observation_shape=(3,))
    row = spec.initial_parameters(0)
    scale = np.ones(3, np.float32)
    named = PolicySpec(3, ACTION, module="hidden_network:Plain", observation_shape=(3,))
    file = tmp_path / "policy.safetensors"
    save_policy(file, Policy(named, row, scale * 0, scale, EnvironmentSpec("CartPole-v1")))
    policy = load_policy(file)
    assert policy.modules == ("hidden_network:Plain",)
    with pytest.raises(UserError, match="import hidden_network first"):
        policy.act(np.zeros(3, np.float32))
    __import__("hidden_network")
    assert policy.act(np.zeros(3, np.float32)).shape == (2,)
