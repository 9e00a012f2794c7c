"""Learned rewards: the kernel, what an episode is worth, the file, and members judged by one."""

from __future__ import annotations

import itertools
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

from esengine.candidates import AntitheticPairs
from esengine.environments.spaces import ActionSpec, ObservationSpec, describe
from esengine.environments.spec import EnvironmentSpec
from esengine.errors import UserError
from esengine.policies.network import Actor, PolicySpec
from esengine.policies.network_file import write_network
from esengine.policies.policy_file import Policy, save_policy
from esengine.problems import FAILED, OK, EnvironmentProblem
from esengine.problems.failures import MembersFailed
from esengine.rewards.episodes import RewardedEpisodes, true_return
from esengine.rewards.file import load_reward, save_reward
from esengine.rewards.network import (
    FORMS,
    LearnedReward,
    RewardForm,
    RewardSpec,
    Sees,
    score_reference,
)
from esengine.rewards.sampling import Steps
from esengine.rewards.source import RewardSource, over_horizon
from esengine.simulators.classic import ClassicSimulator
from esengine.simulators.families import make_simulator
from esengine.simulators.traces import Trace, TraceBuffer

SPACES = {
    "box": gymnasium.spaces.Box(-2, 2, (2,)),
    "discrete": gymnasium.spaces.Discrete(3, start=5),
    "several": gymnasium.spaces.MultiDiscrete([2, 4]),
}


def steps_in(
    space: gymnasium.Space[Any], num_steps: int = 40
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    space.seed(3)
    action = ActionSpec.of(space)
    actions = np.array([np.ravel(space.sample()) for _ in range(num_steps)], float)
    choices = actions if action.kind == "box" else action.options(actions).astype(float)
    return np.random.default_rng(1).normal(2.0, 3.0, (num_steps, 5)).astype(np.float32), choices


def reward_of(
    space: gymnasium.Space[Any], form: RewardForm = "unbiased", scale: float = 1.0
) -> LearnedReward:
    """A reward with a random network, standardised by the steps of `steps_in`."""
    spec = RewardSpec(5, ActionSpec.of(space), (8, 6), form)
    reward = LearnedReward.initial(spec, 0, *steps_in(space))
    random = np.random.default_rng(2)
    reward.parameters = (scale * random.standard_normal(spec.num_parameters)).astype(np.float32)
    return reward


@pytest.mark.parametrize("name", SPACES)
def test_the_kernel_equals_its_twin(name: str) -> None:
    observations, choices = steps_in(SPACES[name])
    for form in FORMS:
        reward = reward_of(SPACES[name], form)
        expected = score_reference(reward, observations, choices)
        np.testing.assert_allclose(
            reward.steps(observations, choices), expected, rtol=1e-4, atol=1e-4
        )


def test_forms_are_named_by_the_sign_that_they_pay_every_step() -> None:
    observations, choices = steps_in(SPACES["box"])
    rewards = {
        form: reward_of(SPACES["box"], form, 30.0).steps(observations, choices) for form in FORMS
    }
    assert (rewards["survival-biased"] > 0).all()
    assert (rewards["termination-biased"] < 0).all()
    logits = rewards["unbiased"]
    np.testing.assert_allclose(
        rewards["survival-biased"] + rewards["termination-biased"], logits, atol=1e-12
    )
    assert abs(logits).max() == 10.0  # a saturated network is clipped


def test_inputs_are_scaled_by_the_given_steps_but_for_choices_and_the_absorbing_state() -> None:
    observations, choices = steps_in(SPACES["several"])
    reward = reward_of(SPACES["several"])
    rows = (
        reward.spec.inputs(observations, choices) - reward.input_mean
    ) * reward.input_inverse_std
    np.testing.assert_allclose(rows[:, :5].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(abs(rows[:, :5]).max(axis=0), 1, atol=1e-5)
    assert set(np.unique(rows[:, 5:11])) == {0.0, 1.0}
    np.testing.assert_array_equal(rows[:, 11], 0)


def test_the_end_of_the_task_is_followed_by_the_absorbing_state_and_a_cut_is_not() -> None:
    reward, rewards = reward_of(SPACES["box"]), np.array([1.0, 2.0, 3.0])
    assert reward.absorbing != 0
    assert over_horizon(rewards, True, 10, reward.absorbing) == 6.0 + 7 * reward.absorbing
    assert over_horizon(rewards, False, 10, reward.absorbing) == 20.0
    assert over_horizon(rewards, True, 3, 5.0) == over_horizon(rewards, False, 3, 5.0) == 6.0


def test_a_reward_comes_back_from_its_file(tmp_path: Path) -> None:
    original, (observations, choices) = (
        reward_of(SPACES["discrete"], "survival-biased"),
        steps_in(SPACES["discrete"]),
    )
    save_reward(tmp_path / "reward.safetensors", original)
    loaded = load_reward(tmp_path)
    assert loaded.spec == original.spec
    np.testing.assert_array_equal(
        loaded.steps(observations, choices), original.steps(observations, choices)
    )


@pytest.mark.parametrize(("state_only", "sees"), [(True, "states"), (False, "actions")])
def test_a_file_of_an_earlier_version_is_read(tmp_path: Path, state_only: bool, sees: Sees) -> None:
    spec = RewardSpec(5, ActionSpec.of(SPACES["box"]), (8,), sees=sees)
    described = asdict(spec)
    del described["sees"]
    arrays = LearnedReward.blank(spec).arrays()
    header = {"reward": {**described, "state_only": state_only}}
    write_network(tmp_path / "reward.safetensors", "esengine-reward", header, arrays)
    assert load_reward(tmp_path).spec == spec


def test_a_reward_of_transitions_pays_recorded_episodes_as_it_is_told_their_steps() -> None:
    observations, choices = steps_in(SPACES["box"])
    spec = RewardSpec(5, ActionSpec.of(SPACES["box"]), (8,), "unbounded", "transitions")
    trace = Trace(observations, choices[:-1], np.zeros(39), 0.0, True)
    rows = Steps.of_rows(Steps.rows(trace, np.arange(39), 100), 5)
    acted = rows.at(np.flatnonzero(~rows.absorbing))
    beside = spec.beside(acted.choices, acted.next_observations)
    np.testing.assert_array_equal(beside, observations[1:])
    reward = LearnedReward.initial(spec, 0, acted.observations, beside)
    reward.parameters = np.random.default_rng(2).standard_normal(spec.num_parameters).astype("f4")
    anybody: Any = None
    paid = RewardSource(reward).steps(trace, anybody)
    np.testing.assert_array_equal(paid, reward.steps(acted.observations, beside))
    np.testing.assert_allclose(
        paid, score_reference(reward, acted.observations, beside), rtol=1e-4, atol=1e-4
    )


def test_another_file_is_no_reward(tmp_path: Path) -> None:
    spec = PolicySpec(2, ActionSpec.of(SPACES["discrete"]))
    zeros = np.zeros(2, np.float32)
    save_policy(
        tmp_path / "p",
        Policy(spec, np.zeros(9, np.float32), zeros, zeros, EnvironmentSpec("CartPole-v1")),
    )
    with pytest.raises(UserError, match="must be a reward that esengine wrote, got a safe"):
        load_reward(tmp_path / "p")
    with pytest.raises(UserError, match="which does not exist"):
        load_reward(tmp_path / "nothing")


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_file_is_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("rewards") / "r.safetensors"
    save_reward(path, reward_of(SPACES["discrete"]))
    image = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(image) - 1))
        image[position] = data.draw(st.integers(0, 255))
    path.write_bytes(
        bytes(image[: data.draw(st.integers(0, len(image)))] if data.draw(st.booleans()) else image)
    )
    try:
        reward = load_reward(path)
    except UserError:
        return
    assert (
        np.isfinite(reward.steps(*steps_in(SPACES["discrete"]))).all()
        or reward.spec.observation_dim != 5
    )


@pytest.mark.parametrize(
    "env_id",
    [
        "CartPole-v1",
        "Pendulum-v1",
        "MountainCarContinuous-v0",
        "Hopper-v5",
        "esengine/PointMaze-v0",
    ],
)
def test_compiled_traces_equal_gymnasiums(env_id: str) -> None:
    spec = EnvironmentSpec(env_id)
    observations, action = describe(spec.make())
    policy = PolicySpec(observations.dim, action, (4,), sampled=env_id == "Hopper-v5")
    row = np.random.default_rng(0).standard_normal(policy.num_parameters).astype(np.float32)
    actor = Actor(
        policy, row, np.zeros(observations.dim, np.float32), np.ones(observations.dim, np.float32)
    )
    compiled = make_simulator(spec, observations, "compiled")
    stepped = make_simulator(spec, observations, "gymnasium")
    buffers = [TraceBuffer(60, observations.dim, len(action.sizes)) for _ in range(2)]
    for seed in range(5):
        moments = np.zeros((2, 1 + 2 * observations.dim))
        one, other = (
            buffer.trace(simulator.run(actor, seed, own, 60, trace=buffer))
            for simulator, own, buffer in zip((compiled, stepped), moments, buffers, strict=True)
        )
        np.testing.assert_array_equal(one.observations, other.observations)
        np.testing.assert_array_equal(one.choices, other.choices)
        np.testing.assert_allclose(one.rewards, other.rewards, rtol=1e-9)
        assert len(one.observations) == len(one.choices) + 1 == len(one.rewards) + 1
        assert one.terminated == other.terminated
        assert one.episode_return == pytest.approx(other.episode_return, rel=1e-13)
        np.testing.assert_array_equal(moments[0], moments[1])


def cartpole_problem(backend: str = "auto") -> EnvironmentProblem:
    spec = EnvironmentSpec("CartPole-v1")
    observations, action = describe(spec.make())
    random = np.random.default_rng(0)
    seen, choices = random.standard_normal((50, 4)), random.integers(2, size=(50, 1)).astype(float)
    reward = LearnedReward.initial(RewardSpec(4, action, (8,)), 0, seen, choices)
    reward.parameters = random.standard_normal(reward.spec.num_parameters).astype(np.float32)
    policy = PolicySpec(4, action, (4,))
    problem = EnvironmentProblem(
        spec,
        observations,
        policy,
        0,
        2,
        env_backend=backend,  # type: ignore[arg-type]
        parts=(RewardedEpisodes(RewardSource(reward), 100),),
    )
    assert isinstance(problem.observations, ObservationSpec)
    return problem


def test_members_are_judged_by_the_reward_and_their_true_return_is_told_beside() -> None:
    problem = cartpole_problem()
    candidates = AntitheticPairs(0, 1, 4, 0.5, problem.policy.initial_parameters(0))
    rows = np.random.default_rng(1).standard_normal((4, problem.dimension)).astype(np.float32)
    records, arrays = problem.evaluate(candidates, 0, rows)
    problem.merge({**arrays, "moments": [arrays["moments"]]})
    seeds = problem.seeds(candidates, records["member"], 2)
    source = problem.part(RewardedEpisodes).source
    simulator, returns = cartpole_problem("gymnasium").simulator(), []
    buffer = TraceBuffer(100, 4, 1)
    for row, own, record in zip(rows, seeds, records, strict=True):
        problem.actor.parameters, worth = row, []
        for seed in own.tolist():
            trace = buffer.trace(simulator.run(problem.actor, seed, None, 100, trace=buffer))
            assert source.learned is not None
            rewards = score_reference(source.learned, trace.observations[:-1], trace.choices)
            worth.append(over_horizon(rewards, trace.terminated, 100, source.absorbing))
            returns.append(trace.episode_return)
        assert record["fitness"] == pytest.approx(np.mean(worth), rel=1e-4, abs=1e-3)
    assert true_return(arrays) == np.mean(returns)
    assert problem.statistics.count == sum(returns)  # CartPole pays 1 a step


def test_a_member_that_raises_costs_nothing_but_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = AntitheticPairs(0, 1, 2, 0.5, np.zeros(cartpole_problem().dimension, np.float32))
    rows = np.random.default_rng(1).standard_normal((2, candidates.dimension)).astype(np.float32)
    alone, problem = cartpole_problem(), cartpole_problem()
    record, expected = alone.evaluate(candidates, 0, rows[:1])
    run, calls = ClassicSimulator.run, itertools.count()

    def raises_late(simulator: ClassicSimulator, *arguments: Any, **options: Any) -> Any:
        if next(calls) == 3:  # the second episode of the second member
            raise ValueError("broken")
        return run(simulator, *arguments, **options)

    monkeypatch.setattr(ClassicSimulator, "run", raises_late)
    with pytest.raises(MembersFailed, match="broken") as failed:
        problem.evaluate(candidates, 0, rows)
    assert failed.value.records[0] == record[0]
    assert failed.value.records["status"].tolist() == [OK, FAILED]
    for name, array in expected.items():
        np.testing.assert_array_equal(failed.value.arrays[name], array)
