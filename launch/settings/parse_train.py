"""Settings of `train` and `resume` from flags and configuration files."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from esengine.algorithms.strategy import Settings
from esengine.errors import UserError, listed
from esengine.launch.settings.config import RunConfig, TrainSettings
from esengine.launch.settings.flags import parse
from esengine.launch.settings.methods import METHODS, defaults_of, settings_of
from esengine.launch.settings.settings_values import settings_from
from esengine.user_code import check_trusted

T = TypeVar("T")


_MOST_BYTES = 1 << 20


def parse_train(argv: list[str]) -> RunConfig:
    """The settings that the words after ``esengine train`` say. Raises UserError for some that no
    run can have.
    """
    if not argv:
        raise UserError(
            f"train must be followed by a method, one of {listed(METHODS)}, got nothing; see "
            f"esengine train --help"
        )
    method, rest = _method(argv)
    settings = settings_of(method)
    _check_names(method, settings)
    rest, values = _without_config_file(rest)
    kind = make_dataclass("train", [("search", settings), ("train", TrainSettings)], frozen=True)
    default = kind(*_defaults(method, values))
    parsed: Any = parse(kind, rest, f"esengine train {method}", default, settings.__doc__)
    config = RunConfig(method, parsed.train, parsed.search)
    if not parsed.train.trust_modules:
        from_file = RunConfig(method, default.train, default.search).modules
        check_trusted(
            "--config", *(name for name in config.modules if name in from_file and name != method)
        )
    return config


def read_config(method: str, name: str) -> tuple[Settings, TrainSettings]:
    """The settings that a TOML file gives, others at their defaults. Raises UserError."""
    return _defaults(method, _read_toml(name))


def _defaults(method: str, values: dict[str, Any]) -> tuple[Settings, TrainSettings]:
    if "trust_modules" in values:
        raise UserError(
            "--trust-modules must be given on the command line, got it from the file of --config; "
            "drop it there"
        )
    settings, rest = settings_of(method), dict(values)
    taken = _take(settings, rest), _take(TrainSettings, rest := defaults_of(method) | rest)
    if rest:
        raise UserError(
            f"--config must hold flags of {method}, got {listed(sorted(rest))[:200]}; see "
            f"esengine train {method} --help"
        )
    return taken


def _method(argv: list[str]) -> tuple[str, list[str]]:
    """The method and the other arguments; a user's own strategy is named by ``--strategy``, or as a
    method is.
    """
    for index, argument in enumerate(argv):
        flag, separator, name = argument.partition("=")
        if flag != "--strategy":
            continue
        rest = argv[:index] + argv[index + (1 if separator else 2) :]
        name = name if separator else "".join(argv[index + 1 : index + 2])
        if ":" not in name:
            raise UserError(
                f"--strategy must be module:Class, got {name!r}; for example "
                f"mypackage.search:HillClimb"
            )
        if rest and not rest[0].startswith("-"):
            raise UserError(
                f"a run has one method, got {rest[0]} and --strategy {name}; drop one of them"
            )
        return name, rest
    return argv[0], argv[1:]


def _check_names(method: str, settings: type[Any]) -> None:
    """Raises UserError where a user's settings take the name of a flag that every method has."""
    shared = {field.name for field in fields(TrainSettings)}
    taken = sorted(shared & {field.name for field in fields(settings)})
    if taken:
        raise UserError(
            f"settings of {method} must have names of their own, got {listed(taken)}; rename them"
        )


def _without_config_file(argv: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Take ``--config FILE`` out of the arguments and read the file."""
    rest = list(argv)
    for index, argument in enumerate(argv):
        if argument == "--config" or argument.startswith("--config="):
            name = argument.partition("=")[2] or (argv[index + 1] if index + 1 < len(argv) else "")
            del rest[index : index + (1 if "=" in argument else 2)]
            return rest, _read_toml(name)
    return rest, {}


def _read_toml(name: str) -> dict[str, Any]:
    """The values of a TOML file, which may be a pipe, keys with underscores. Raises UserError."""
    try:
        with open(name, "rb") as file:
            image = file.read(_MOST_BYTES + 1)
        if len(image) > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES} bytes")
        found = tomllib.loads(image.decode())
    except (OSError, ValueError) as error:
        raise UserError(f"--config must be a readable TOML file, got {name!r}: {error}") from error
    except RecursionError:
        raise UserError(
            f"--config must be a readable TOML file, got {name!r}: it is nested too deeply"
        ) from None
    values = {key.replace("-", "_"): value for key, value in found.items()}
    if len(values) < len(found):
        raise UserError(
            f"--config must give each flag once, got one with a hyphen and with an underscore in "
            f"{name!r}"
        )
    return values


def _take(kind: type[T], values: dict[str, Any]) -> T:
    """The settings with the file's values, which are taken out of ``values``."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return settings_from(kind, {name: values.pop(name) for name in names if name in values})


@dataclass(frozen=True)
class ResumeSettings:
    """Go on with a run that was stopped or killed; the result is that of a run that never
    stopped.
    """

    run: Annotated[Path, tyro.conf.Positional]
    """The run directory."""
    generations: int | None = None
    """Change the number of generations."""
    max_env_steps: int | None = None
    """Change the budget of environment steps."""
    max_evaluations: int | None = None
    """Change the budget of episodes or function values."""
    max_time: float | None = None
    """Change the budget of seconds, which counts earlier starts."""
    target_return: float | None = None
    """Change the target."""
    ranks: int | None = None
    """Workers to start on this machine; the result does not depend on it."""
    trust_modules: bool = False
    """Import the module that the run's files name."""
    quiet: bool = False
    """Print nothing but errors."""


def parse_resume(argv: list[str]) -> ResumeSettings:
    """The flags after ``esengine resume``."""
    return parse(ResumeSettings, argv, "esengine resume")


def resume_changes(parsed: ResumeSettings) -> dict[str, object]:
    """The run's settings that are to change."""
    names = (
        "generations",
        "max_env_steps",
        "max_evaluations",
        "max_time",
        "target_return",
        "ranks",
    )
    return {name: getattr(parsed, name) for name in names if getattr(parsed, name) is not None}
