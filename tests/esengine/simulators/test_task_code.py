"""The compiled form is taken only where it is equal: changed constants, methods, modules, wrappers
and arguments are stepped by gymnasium, and the reason is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import gymnasium
import numpy as np
import pytest
from gymnasium import wrappers
from gymnasium.envs.classic_control import acrobot, cartpole, pendulum, utils
from gymnasium.envs.mujoco import hopper_v5, mujoco_env
from gymnasium.utils import seeding

from esengine.environments import classic_physics, describe, mujoco_physics
from esengine.environments.known_code import KNOWN_CODE
from esengine.environments.spec import EnvironmentSpec
from esengine.environments.task_code import task_code
from esengine.policies.network import Actor
from esengine.simulators.families import family_of, make_simulator, why_stepped
from esengine.simulators.stepped_dynamics import STEPPED
from tests.support.tasks import CLASSIC, MUJOCO, actor_for


class TunedCartPole(cartpole.CartPoleEnv):
    """Another step under the same roof."""

    def step(self, action: Any) -> Any:
        observation, _, *rest = super().step(action)  # type: ignore[no-untyped-call]
        return observation, 0.5, *rest


def test_this_gymnasium_is_known() -> None:
    assert set(KNOWN_CODE) == {
        name
        for name in (*classic_physics.TASKS, *mujoco_physics.TASKS)
        if name.startswith("gymnasium")
    }
    for env_id in (*CLASSIC, *MUJOCO):
        env = gymnasium.make(env_id)
        assert why_stepped(env) is None
        env.reset(seed=0)
        env.step(env.action_space.sample())
        assert why_stepped(env) is None, "the attributes of an episode are no change"
        assert family_of(env) is not STEPPED


def _set(**attributes: Any) -> Callable[[Any], None]:
    def change(env: Any) -> None:
        for name, value in attributes.items():
            setattr(env.unwrapped, name, value)

    return change


@pytest.mark.parametrize(
    ("env_id", "change", "reason"),
    [
        ("CartPole-v1", _set(gravity=0.0), "its gravity is 0.0"),
        ("CartPole-v1", _set(length=5.0), "its length is 5.0"),
        ("CartPole-v1", _set(step=lambda action: action), "its step is <function"),
        ("Pendulum-v1", _set(m=2.0), "its m is 2.0"),
        ("Pendulum-v1", _set(g="9.8"), "its g is no number"),
        ("Acrobot-v1", _set(LINK_MASS_1=2.0), "its LINK_MASS_1 is 2.0"),
        ("MountainCar-v0", _set(gravity=0.0), "its gravity is 0.0"),
        ("esengine/CartPoleSwingUp-v0", _set(length=5.0), "its length is 5.0"),
        ("esengine/PointMaze-v0", _set(reach=1.0), "its reach is 1.0"),
        ("Hopper-v5", _set(_get_rew=lambda *_: (0, {})), "its get_rew is <function"),
        ("Hopper-v5", _set(_healthy_reward=lambda: 1), "its healthy_reward is <function"),
        (
            "Hopper-v5",
            _set(observation_space=gymnasium.spaces.Box(-1, 1, (3,))),
            "its observation space is not that of its observations",
        ),
        ("CartPole-v1", lambda env: setattr(env, "step", env.step), "its wrapper TimeLimit"),
    ],
)
def test_a_changed_environment_is_stepped_by_gymnasium(
    env_id: str, change: Callable[[Any], None], reason: str
) -> None:
    env = gymnasium.make(env_id)
    change(env)
    assert reason in str(why_stepped(env))
    assert family_of(env) is STEPPED


@pytest.mark.parametrize(
    ("env_id", "owner", "name", "value"),
    [
        ("Pendulum-v1", pendulum.PendulumEnv, "step", cartpole.CartPoleEnv.step),
        ("Pendulum-v1", pendulum, "angle_normalize", lambda x: x),
        ("Pendulum-v1", pendulum, "DEFAULT_X", 1.0),
        ("Acrobot-v1", acrobot.AcrobotEnv, "LINK_LENGTH_1", 2.0),
        ("Acrobot-v1", acrobot, "rk4", lambda *_: np.zeros(4)),
        ("CartPole-v1", utils, "maybe_parse_reset_bounds", lambda *_: (0, 0)),
        ("CartPole-v1", seeding, "np_random", lambda seed: (None, 0)),
        ("Hopper-v5", hopper_v5.HopperEnv, "healthy_reward", property(lambda self: 0.0)),
        ("Hopper-v5", mujoco_env.MujocoEnv, "do_simulation", lambda *_: None),
        ("CartPole-v1", wrappers.TimeLimit, "step", lambda self, action: None),
    ],
)
def test_edited_code_is_noticed_and_forgotten_again(
    monkeypatch: pytest.MonkeyPatch, env_id: str, owner: Any, name: str, value: Any
) -> None:
    env = gymnasium.make(env_id)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, value)
        assert why_stepped(env) is not None
    assert why_stepped(env) is None


def test_changes_in_place_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    env = gymnasium.make("Acrobot-v1")
    monkeypatch.setattr(acrobot.AcrobotEnv, "AVAIL_TORQUE", [-1.0, 0.0, 1])
    assert why_stepped(env) is None
    acrobot.AcrobotEnv.AVAIL_TORQUE[0] = -2.0
    assert why_stepped(env) is not None

    monkeypatch.undo()
    assert why_stepped(env) is None
    monkeypatch.setattr(acrobot.wrap, "__code__", (lambda x, m, M: x).__code__)
    assert why_stepped(env) is not None


def test_subclasses_and_wrappers_are_stepped() -> None:
    assert family_of(TunedCartPole()) is STEPPED
    wrapped = wrappers.RescaleAction(gymnasium.make("Pendulum-v1"), np.float32(-1), np.float32(1))
    assert why_stepped(wrapped) == "it has the wrapper RescaleAction"


def test_the_least_limit_of_steps_holds_wherever_it_is_set() -> None:
    gymnasium.register("TestTwoLimits-v0", cast(Any, lambda: gymnasium.make("Pendulum-v1")))
    spec = EnvironmentSpec("TestTwoLimits-v0")
    actor = actor_for("Pendulum-v1")
    observations, _ = describe(spec.make())
    for backend in ("compiled", "gymnasium"):
        assert make_simulator(spec, observations, backend).run(actor, 1).num_steps == 200


def test_a_model_of_ones_own_reaches_the_compiled_form() -> None:
    spec = EnvironmentSpec("Hopper-v5", {"frame_skip": 2, "xml_file": "walker2d_v5.xml"})
    env = spec.make()
    assert family_of(env).name == "MuJoCo"
    observations, action = describe(env)
    policy = replace(actor_for("Hopper-v5").spec, observation_dim=observations.dim, action=action)
    ones = np.ones(observations.dim, np.float32)
    actor = Actor(policy, policy.initial_parameters(0), 0 * ones, ones)
    episodes = [
        make_simulator(spec, observations, backend).run(actor, 4, max_steps=50)
        for backend in ("gymnasium", "compiled")
    ]
    assert episodes[0] == episodes[1]


def test_code_is_read_once() -> None:
    kind = cartpole.CartPoleEnv
    assert task_code(kind, ("step",)) is task_code(kind, ("step",))
