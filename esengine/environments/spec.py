"""Gymnasium environments by name, with errors that say what to do."""

from __future__ import annotations

import difflib
import inspect
import os
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gymnasium

from esengine.environments.spaces import ActionSpec, ObservationSpec, describe
from esengine.environments.wrappers import Wrapper, wrapped, wrappers_from
from esengine.errors import UserError, listed, pip_install, readable
from esengine.user_code import (
    TEAM,
    as_in_files,
    close,
    described,
    find_modules_here,
    is_object,
    modules_of,
    note_open,
    object_of,
    team_of_process,
    warnings_kept,
)

gymnasium.register(
    "esengine/CartPoleSwingUp-v0",
    "esengine.environments.cartpole_swing_up:CartPoleSwingUp",
    max_episode_steps=500,
)
gymnasium.register(
    "esengine/FixedHorizonCartPole-v0",
    "esengine.environments.cartpole_fixed_horizon:FixedHorizonCartPole",
    max_episode_steps=500,
)
gymnasium.register(
    "esengine/PointMaze-v0", "esengine.environments.point_maze:PointMaze", max_episode_steps=250
)


@dataclass(frozen=True)
class EnvironmentSpec:
    """An environment as files name it.

    Attributes:
        env_id: what `gymnasium.make` takes, ``module:EnvId`` included.
        arguments: keyword arguments of `gymnasium.make`: those of the environment, and
            ``max_episode_steps``.
        wrappers: gymnasium's wrappers around it, the innermost first.
    """

    env_id: str
    arguments: dict[str, Any] = field(default_factory=dict)
    wrappers: tuple[Wrapper, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The specification as files hold it."""
        record: dict[str, Any] = {"env_id": self.env_id, "arguments": self.arguments}
        return record | ({"wrappers": self.wrappers} if self.wrappers else {})

    @classmethod
    def from_json(cls, record: Any) -> EnvironmentSpec:
        """The specification from what `to_json` returned. Raises ValueError, KeyError or
        TypeError.
        """
        wrappers = wrappers_from(record.get("wrappers", ()))
        return cls(str(record["env_id"]), dict(record["arguments"]), wrappers)

    @property
    def name(self) -> str:
        """The id without the module that registers it."""
        return self.env_id.rpartition(":")[2]

    def __str__(self) -> str:
        words = [self.env_id, str(self.arguments)] if self.arguments else [self.env_id]
        return " in ".join([" ".join(words), *(name for name, _ in self.wrappers)])

    @property
    def modules(self) -> tuple[str, ...]:
        """What `make` may import or open, see `user_code.modules_of`."""
        return modules_of(self.env_id, self.arguments)

    def open(self, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
        """A new environment, which `close` closes, or the end of `environments_closed`. Raises
        UserError as `make`.
        """
        env = self.make(render_mode)
        note_open(env)
        return env

    @contextmanager
    def opened(self) -> Iterator[gymnasium.Env[Any, Any]]:
        """A new environment that is closed at the end of the ``with`` block. Raises UserError as
        `make`.
        """
        env = self.open()
        try:
            yield env
        finally:
            close(env)

    def make(self, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
        """A new environment, which the caller closes. An argument ``@team`` is the communicator of
        this process's team of ranks, or None outside of one.

        Raises:
            UserError: the id is unknown (the error lists close ones), its package is missing, or
                its arguments are wrong.
        """
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        arguments = {
            name: team_of_process() if value == TEAM else value
            for name, value in self.arguments.items()
        }
        if render_mode is not None:
            arguments["render_mode"] = render_mode
        module, colon, name = self.env_id.rpartition(":")
        if colon:
            find_modules_here()
        _route_mujoco_warnings(self.env_id)

        try:
            env_id = as_in_files(module) + colon + readable(name)
            with warnings_kept():
                if is_object(env_id):
                    env = made_by(env_id, arguments)
                else:
                    env = gymnasium.make(env_id, disable_env_checker=True, **arguments)
        except gymnasium.error.UnregisteredEnv as error:
            raise UserError(self._unknown()) from error
        except gymnasium.error.DependencyNotInstalled as error:
            is_mujoco = "mujoco" in str(error).lower()
            extra = f"; {pip_install('mujoco')}" if is_mujoco else ""
            raise UserError(
                f"--env-id {self.env_id} needs a package that is missing: {error}{extra}"
            ) from error
        except ModuleNotFoundError as error:
            raise UserError(
                f"--env-id {self.env_id} must name a module that can be imported, got {error}; "
                "modules are found from the current folder and PYTHONPATH"
            ) from error
        except UserError:
            raise
        except (Exception, SystemExit) as error:  # whatever a user's constructor raises
            last = traceback.extract_tb(error.__traceback__)[-1]
            reason = str(error) or f"{last.line}, at {last.filename}:{last.lineno}"
            raise UserError(
                f"--env-id {self.env_id} with arguments {self.arguments} cannot be made: "
                f"{type(error).__name__}: {reason}"
            ) from error
        return wrapped(env, self.wrappers)

    def spaces(self) -> tuple[ObservationSpec, ActionSpec]:
        """The observations and the actions of the environment, see `describe`. Raises UserError."""
        with self.opened() as env:
            return describe(env)

    def _unknown(self) -> str:
        known = sorted(gymnasium.registry)
        close = difflib.get_close_matches(self.env_id, known, n=3, cutoff=0.5)
        namespace, slash, _ = self.env_id.rpartition("/")
        if (
            slash
            and ":" not in namespace
            and not any(name.startswith(f"{namespace}/") for name in known)
        ):
            hint = (
                f"nothing has registered {namespace}/ yet: install its package, and name the "
                "module that registers it, as in pip install ale-py and --env-id "
                "ale_py:ALE/Pong-v5"
            )
        elif close:
            hint = f"close names: {listed(close)}"
        else:
            hint = (
                "gymnasium.pprint_registry() lists them, those of other packages are named "
                "module:EnvId"
            )

        return f"--env-id must be a registered gymnasium environment, got {self.env_id}; {hint}"


def _route_mujoco_warnings(env_id: str) -> None:
    """Make MuJoCo warn through Python, once for each text, instead of on every rank's terminal and
    in MUJOCO_LOG.TXT.
    """
    spec = gymnasium.registry.get(env_id)
    if spec is None or not str(spec.entry_point).startswith("gymnasium.envs.mujoco"):
        return
    try:
        import mujoco
    except ImportError:
        return  # gymnasium reports what is missing
    mujoco.set_mju_user_warning(_warn)


def _warn(text: str) -> None:
    if "deprecated" not in text:  # which concerns gymnasium's own model files
        warnings.warn(f"MuJoCo: {text}", RuntimeWarning, stacklevel=2)


def made_by(name: str, arguments: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    """A new environment from the factory that a Python object is, see `user_code.objects`.

    A factory that takes no ``render_mode`` is called without it. Raises UserError for an object
    that makes no environment.
    """
    factory = object_of("--env-id", name)
    accepted = inspect.signature(factory).parameters
    if "render_mode" not in accepted and not any(
        each.kind is each.VAR_KEYWORD for each in accepted.values()
    ):
        arguments = {key: value for key, value in arguments.items() if key != "render_mode"}
    env = factory(**arguments)
    if not isinstance(env, gymnasium.Env):
        raise UserError(
            f"--env-id must be an id, or a factory that returns a gymnasium environment, got "
            f"{described(env)} from {name}; return the environment"
        )
    return env


def is_classic(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether this is one of gymnasium's classic control tasks, whose episodes are short and begin
    far apart.
    """
    return type(env.unwrapped).__module__.startswith("gymnasium.envs.classic_control.")


def is_mujoco(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether the environment runs on MuJoCo, which decides the default policy."""
    return any(base.__name__ == "MujocoEnv" for base in type(env.unwrapped).__mro__)


def name_of(env: gymnasium.Env[Any, Any]) -> str:
    """The id of an environment, for messages; the name of its class if it is not registered."""
    return type(env.unwrapped).__name__ if env.spec is None else env.spec.id


def limit_of(env: gymnasium.Env[Any, Any]) -> int | None:
    """The steps after which one of gymnasium's wrappers cuts an episode, None if there is none."""
    limits = []
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, gymnasium.wrappers.TimeLimit):
            limits.append(int(env._max_episode_steps))
        env = env.env
    return min(limits, default=None)


def class_of(env: gymnasium.Env[Any, Any]) -> str:
    """The class of an environment as ``module:name``, by which tables of compiled tasks know it."""
    kind = type(env)
    return f"{kind.__module__}:{kind.__name__}"
