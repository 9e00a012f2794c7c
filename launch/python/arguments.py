"""Arguments from Python as settings: objects become names, dictionaries and arrays become texts and
tuples.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType, SimpleNamespace
from typing import Any

import cloudpickle
import gymnasium

from esengine.checks import text_of
from esengine.demonstrations import Demonstrations, save_demonstrations
from esengine.errors import UserError, nearest
from esengine.launch.runs.result import RunResult
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.settings.auto_method import AUTO, chosen, kind_of
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.methods import defaults_of
from esengine.launch.settings.other_names import answer, without_aliases
from esengine.launch.settings.settings_values import settings_from
from esengine.launch.settings.train_settings import TrainSettings
from esengine.launch.training.loop import Callback
from esengine.policies import Policy, load_policy, save_policy
from esengine.repertoires import Repertoire, save_archive
from esengine.user_code import give_object, is_object, named_object

_FUNCTIONS = ("objective", "expert", "behavior", "generator")
_POLICIES = ("init_policy", "policy")


class Copies:
    """A factory of copies of an environment as it was when it was given."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        self.__name__ = type(env.unwrapped).__name__
        try:
            self._image = cloudpickle.dumps(env)
        except Exception as error:
            raise UserError(
                f"an environment must be picklable to be copied, got {env}: {error}; give a "
                f"function that makes it"
            ) from error

    def __call__(self) -> gymnasium.Env[Any, Any]:
        env: gymnasium.Env[Any, Any] = pickle.loads(self._image)
        return env


def environment_settings(env: Any) -> dict[str, Any]:
    """The settings of an environment: an id, a factory, or an environment, which is copied.

    Raises:
        UserError: it is none of these.
    """
    if isinstance(env, str):
        return {"env_id": env}
    if isinstance(env, gymnasium.Env):
        spec = env.spec
        if spec is None or not _is_plain(env):
            return {"env_id": named_object(Copies(env))}
        given = {name: value for name, value in spec.kwargs.items() if name != "render_mode"}
        if spec.max_episode_steps != gymnasium.spec(spec.id).max_episode_steps:
            given["max_episode_steps"] = spec.max_episode_steps
        return {"env_id": spec.id, "env_arg": _texts(given)}
    if callable(env):
        return {"env_id": named_object(env)}
    raise UserError(
        f"env must be an id, a function that makes an environment, or an environment, got "
        f"{env!r:.80}; for example 'CartPole-v1'"
    )


def _is_plain(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether an environment is what gymnasium itself makes of its id and plain arguments."""
    spec = env.spec
    if spec is None or spec.additional_wrappers or spec.id not in gymnasium.registry:
        return False
    plain = all(isinstance(value, str | int | float | None) for value in spec.kwargs.values())
    return plain and str(spec.entry_point).startswith(("gymnasium.envs.", "esengine."))


@contextmanager
def as_settings(
    given: Mapping[str, Any], known: Iterable[str], command: str
) -> Iterator[dict[str, Any]]:
    """Arguments as settings, for the ``with`` block, in which files stand for objects.

    Args:
        given: by name; those that are None are left out.
        known: the settings that there are.
        command: what lists them.

    Raises:
        UserError: a name is unknown, or an object cannot be used.
    """
    names = set(known)
    values = dict(given)
    env = values.pop("env", None)
    env_id = values.pop("env_id", None)
    if env is not None and env_id is not None:
        raise UserError("env and env_id are the same, got both; drop one")
    if env is not None or env_id is not None:
        values = environment_settings(env if env_id is None else env_id) | values
    values = without_aliases({k: v for k, v in values.items() if v is not None}, names)
    _check_names(values, names, command)

    with TemporaryDirectory(prefix="esengine-") as folder:
        yield {name: _setting(name, value, Path(folder)) for name, value in values.items()}


def _check_names(values: Mapping[str, Any], known: set[str], command: str) -> None:
    """Raises UserError for an argument that is no setting, with what was meant."""
    for name in sorted(set(values) - known):
        ours = answer(name, known)
        if ours is not None:
            raise UserError(f"{name} is called {ours} here, got {name}; use that")
        meant = nearest(name, known | {"callbacks"}) or f"; {command} lists them"
        raise UserError(f"arguments must be settings, got {name}{meant}")


def _setting(name: str, value: Any, folder: Path) -> Any:
    """A value as its setting takes it."""
    if isinstance(value, RunResult) and value.run_dir is not None:
        return value.run_dir
    if isinstance(value, Policy) and name in _POLICIES:
        save_policy(folder / "policy.safetensors", value)
        return folder / "policy.safetensors"
    if isinstance(value, Repertoire):
        save_archive(folder / "archive.safetensors", value)
        return folder / "archive.safetensors"
    if isinstance(value, Demonstrations):
        save_demonstrations(folder / "demonstrations.npz", value)
        value = folder / "demonstrations.npz"
    if name == "demonstrations" and isinstance(value, str | Path):
        return (str(value),)
    if isinstance(value, Mapping):
        return _texts(value)
    if name == "rules":
        several = isinstance(value, list | tuple) and not _is_pair(value)
        return tuple(map(_rule, value if several else (value,)))
    if name in _FUNCTIONS and not isinstance(value, str):
        return named_object(value)
    if name == "policy" and callable(value):
        return named_object(value)
    return value


def _is_pair(value: Any) -> bool:
    """Whether a value is a rule's pair of functions, ``(when, act)``."""
    if not isinstance(value, tuple) or len(value) != 2:
        return False
    return all(callable(each) and not hasattr(each, "when") for each in value)


def _rule(value: Any) -> str:
    """The name of a rule: a module, an object with ``when`` and ``act``, or their pair."""
    if isinstance(value, str):
        return value
    if isinstance(value, ModuleType) and value.__name__ != "__main__":
        return value.__name__
    if _is_pair(value):
        value = SimpleNamespace(when=value[0], act=value[1])
    for function in ("when", "act"):
        if not callable(getattr(value, function, None)):
            raise UserError(
                f"rules must have when(observation) and act(observation), got {value!r:.80}; give "
                f"a module, an object, or the pair (when, act)"
            )
    return named_object(value)


def _texts(values: Mapping[str, Any]) -> tuple[str, ...]:
    """A dictionary as texts name=value."""
    return tuple(f"{name}={text_of(value)}" for name, value in values.items())


def callbacks_of(given: Callback | Iterable[Callback]) -> tuple[Callback, ...]:
    """One callback, or several, as a tuple. Raises UserError for what cannot be called."""
    found = (given,) if callable(given) else given
    if not isinstance(found, Iterable) or not all(map(callable, several := tuple(found))):
        raise UserError(
            f"callbacks must be a function of a row of metrics, or a list of them, got "
            f"{given!r:.80}; for example [print]"
        )
    return several


def given_again(path: Path, given: Mapping[str, Any]) -> None:
    """Let the names in the records of a run, or in a policy file, stand for objects once more.

    Args:
        path: a run directory or a policy file.
        given: objects by setting; those that are None are left out.

    Raises:
        UserError: the run has something else there.
    """
    for setting, value in given.items():
        if value is None:
            continue
        name: Any
        if path.is_file():
            policy = load_policy(path)
            name = policy.spec.module if setting == "policy" else policy.environment.env_id
        else:
            config = RunDirectory.open(path).config()
            name = getattr(config.train, setting, None) or getattr(config.search, setting, None)
        if not is_object(str(name)):
            raise UserError(
                f"{setting} must be a Python object again where the run was begun with one, got "
                f"{name!r} in {path}; drop it"
            )
        is_env = isinstance(value, gymnasium.Env)
        give_object(str(name), Copies(value) if is_env else value)


def names_of(method: str) -> set[str]:
    """The names of all settings of a method."""
    kinds: tuple[type[Any], ...] = (kind_of(method), TrainSettings)
    return {field.name for kind in kinds for field in fields(kind)}


def config_of(method: str, settings: dict[str, Any]) -> RunConfig:
    """The configuration from settings by name. Raises UserError for values of other types."""
    kind = kind_of(method)
    search_names = {field.name for field in fields(kind)}
    own = {name: value for name, value in settings.items() if name in search_names}
    usual = {} if method == AUTO else defaults_of(method)
    given = usual | {name: settings[name] for name in settings if name not in own}
    config = RunConfig(method, settings_from(TrainSettings, given), settings_from(kind, own))
    return chosen(config)
