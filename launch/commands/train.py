"""``esengine train METHOD``: begin a run."""

from __future__ import annotations

import tomllib
from dataclasses import fields, make_dataclass
from typing import Any, TypeVar

from esengine.errors import UserError, listed
from esengine.interrupts import StopRequest
from esengine.launch.commands.parsing import parse
from esengine.launch.config import RunConfig, TrainSettings, settings_from
from esengine.launch.methods import METHODS, defaults_of, settings_of
from esengine.launch.start import start

T = TypeVar("T")


def command(argv: list[str], stop: StopRequest) -> int:
    """Begin a run; returns its exit status. Raises UserError for settings that no run can have."""
    if not argv or argv[0] in ("-h", "--help"):
        print(
            f"usage: esengine train METHOD ...\n\nMETHOD is one of: {listed(METHODS)}\n"
            "esengine train METHOD --help tells the flags"
        )
        return 0 if argv else 2
    settings = settings_of(argv[0])
    rest, values = _without_config_file(argv[1:])
    from_file = dict(values)
    kind = make_dataclass("train", [("search", settings), ("train", TrainSettings)], frozen=True)
    search = _take(settings, values)
    values = defaults_of(argv[0]) | values
    default = kind(search, _take(TrainSettings, values))
    if "trust_modules" in from_file:
        raise UserError("--trust-modules must be given on the command line, got it from the file of --config; drop it there")
    if values:
        raise UserError(
            f"--config must hold flags of {argv[0]}, got {listed(sorted(values))}; see esengine train {argv[0]} --help"
        )
    parsed: Any = parse(kind, rest, f"esengine train {argv[0]}", default, settings.__doc__)
    for name in ("objective", "env_id"):
        named = getattr(parsed.train, name)
        if named is not None and ":" in named and named == from_file.get(name) and not parsed.train.trust_modules:
            raise UserError(f"--config names the module {named!r}, whose code would run; add --trust-modules if you trust it")
    return start(RunConfig(argv[0], parsed.train, parsed.search), stop)


def _without_config_file(argv: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Take ``--config FILE`` out of the arguments and read the file, keys with underscores."""
    rest, values = list(argv), {}
    for index, argument in enumerate(argv):
        if argument == "--config" or argument.startswith("--config="):
            name = argument.partition("=")[2] or (argv[index + 1] if index + 1 < len(argv) else "")
            del rest[index : index + (1 if "=" in argument else 2)]
            try:
                with open(name, "rb") as file:
                    values = {key.replace("-", "_"): value for key, value in tomllib.load(file).items()}
            except (OSError, tomllib.TOMLDecodeError) as error:
                raise UserError(f"--config must be a readable TOML file, got {name!r}: {error}") from error
            break
    return rest, values


def _take(kind: type[T], values: dict[str, Any]) -> T:
    """The settings with the file's values, which are taken out of ``values``."""
    return settings_from(kind, {field.name: values.pop(field.name) for field in fields(kind) if field.name in values})  # type: ignore[arg-type]
