"""Settings of `train` and `resume` from flags and configuration files."""

from __future__ import annotations

import inspect
import tomllib
from dataclasses import KW_ONLY, dataclass, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from esengine.algorithms.strategy import Settings
from esengine.checks import flag_name
from esengine.errors import UserError, listed, put
from esengine.launch.settings.auto_method import AUTO, chosen, kind_of
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.flags import HELP, parse
from esengine.launch.settings.groups import BudgetSettings, StartSettings
from esengine.launch.settings.help import Entry, Positional, entries, page
from esengine.launch.settings.methods import METHODS, defaults_of, family_of, settings_of
from esengine.launch.settings.other_names import without_aliases
from esengine.launch.settings.settings_values import settings_from
from esengine.launch.settings.train_settings import GROUPS, TrainSettings
from esengine.storage.files import read_stream
from esengine.user_code import check_trusted

T = TypeVar("T")

_MOST_BYTES = 1 << 20


def parse_train(argv: list[str]) -> RunConfig:
    """The configuration from the words after ``esengine train``. Raises UserError for words that
    give none.
    """
    if not argv:
        raise UserError(
            f"train must be followed by a method, one of {listed(METHODS)}, got nothing; see "
            f"esengine train --help"
        )
    method, rest = _method(argv)
    kind = kind_of(method)
    _check_names(method, kind)

    if HELP.intersection(rest):
        put(train_help(method, brief="--help-all" not in rest))
        raise SystemExit(0)
    file, rest = take_flag(rest, "--config")
    search, train = _defaults(method, {} if file is None else read_toml(file, "--config"))
    groups = {"method": kind, **GROUPS}
    default = {"method": search} | {name: train.part(group) for name, group in GROUPS.items()}
    command = make_dataclass("train", groups.items(), frozen=True)
    parsed: Any = parse(command, rest, f"esengine train {method}", command(**default), kind.__doc__)

    values = {
        field.name: getattr(getattr(parsed, name), field.name)
        for name, group in GROUPS.items()
        for field in fields(group)
    }
    config = RunConfig(method, TrainSettings(**values), parsed.method)
    from_file = RunConfig(method, train, search).modules
    named = (name for name in config.modules if name in from_file and name != method)
    check_trusted("--config", *named, trusted=config.train.trust_modules)
    return chosen(config)


SECTIONS = {
    "Run": ("budget", "run", "start"),
    "Environment or objective": ("task",),
    "Members": ("member",),
    "Programs": ("program",),
    "Policy": ("policy", "initial_policy"),
    "Episodes": ("episode",),
    "Evaluation": ("evaluation",),
    "Reward": ("reward",),
    "Novelty": ("novelty_search",),
    "Goals": ("goal_curriculum",),
    "Search space of an objective": ("objective_space",),
    "Faults": ("fault_tolerance",),
}
"""The sections of the help after the method's own, and the groups that they show."""
_USUAL = {
    *(
        "env_id",
        "env_arg",
        "objective",
        "command",
        "minimize",
        "dimension",
        "lower_bound",
        "upper_bound",
    ),
    *("generations", "max_env_steps", "max_evaluations", "max_time", "target_return"),
    *("seed", "run_dir", "workers", "quiet", "policy", "hidden_sizes", "init_policy"),
    *("episodes_per_member", "eval_every", "eval_episodes", "member_timeout"),
}
"""The shared settings that the short help shows."""


def train_help(method: str, brief: bool) -> str:
    """The help of ``esengine train METHOD``.

    Args:
        method: a method.
        brief: show only the method's own settings and the usual ones, in one sentence each.
    """
    kind = settings_of(method)
    family = family_of(method)
    search, train = _defaults(method, {})
    sections = {method: list(entries(kind, search))}
    for title, groups in SECTIONS.items():
        sections[title] = [
            entry
            for group in groups
            for entry in entries(GROUPS[group], train.part(GROUPS[group]))
            if family.reads(group, entry.name) and (not brief or entry.name in _USUAL)
        ]
    about = "Read flags from a TOML file. Those of the command line win."
    sections["Run"].append(Entry("config", Path, None, about))
    about = "Run once with each of these seeds, such as 0-4 or 0,3,7, on the same workers at once."
    sections["Run"].append(Entry("seeds", str, None, about))
    closing = f"esengine train {method} --help-all shows all flags." if brief else ""
    description = inspect.getdoc(kind) or ""
    return page(f"esengine train {method} [FLAGS]", description, sections, brief, closing)


def read_config(method: str, name: str) -> tuple[Settings, TrainSettings]:
    """The settings from a TOML file, and the defaults of all others. Raises UserError."""
    return _defaults(method, read_toml(name, "--config"))


def _defaults(method: str, values: dict[str, Any]) -> tuple[Settings, TrainSettings]:
    if "trust_modules" in values:
        raise UserError(
            "--trust-modules must be given on the command line, got it from the file of --config; "
            "drop it there"
        )

    kind = kind_of(method)
    names = {field.name for each in (kind, TrainSettings) for field in fields(each)}
    rest = (defaults_of(method) if method != AUTO else {}) | without_aliases(values, names)
    search = _take(kind, rest)
    train = _take(TrainSettings, rest)
    if rest:
        raise UserError(
            f"--config must hold flags of {method}, got {listed(sorted(rest))[:200]}; see "
            f"esengine train {method} --help"
        )

    return search, train


def _method(argv: list[str]) -> tuple[str, list[str]]:
    """The method and the other words; a user-supplied strategy is given by ``--strategy``, or in
    place of the method.
    """
    name, rest = take_flag(argv, "--strategy")
    if name is None:
        return argv[0], argv[1:]
    if ":" not in name:
        raise UserError(
            f"--strategy must be module:Class, got {name!r}; for example mypackage.search:HillClimb"
        )
    if rest and not rest[0].startswith("-"):
        raise UserError(
            f"a run has one method, got {rest[0]} and --strategy {name}; drop one of them"
        )

    return name, rest


def take_flag(argv: list[str], flag: str) -> tuple[str | None, list[str]]:
    """The value of a flag, or None if it is not given, and the other words."""
    for index, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if name == flag:
            after = index + 1 if equals else index + 2
            return value or "".join(argv[index + 1 : after]), argv[:index] + argv[after:]
    return None, argv


def _check_names(method: str, settings: type[Any]) -> None:
    """Raises UserError where user-supplied settings have the name of a flag of every method."""
    shared = {field.name for field in fields(TrainSettings)}
    taken = sorted(shared & {field.name for field in fields(settings)})
    if taken:
        raise UserError(
            f"settings of {method} must have names of their own, got {listed(taken)}; rename them"
        )


def read_toml(name: str, what: str) -> dict[str, Any]:
    """The values of a TOML file or a pipe, by names with underscores; ``what`` it is, in words.
    Raises UserError.
    """
    try:
        found = tomllib.loads(read_stream(Path(name), _MOST_BYTES).decode())
    except (OSError, ValueError) as error:
        raise UserError(f"{what} must be a readable TOML file, got {name!r}: {error}") from error
    except RecursionError:
        raise UserError(
            f"{what} must be a readable TOML file, got {name!r}: it is nested too deeply"
        ) from None
    values = {key.replace("-", "_"): value for key, value in found.items()}
    if len(values) < len(found):
        raise UserError(
            f"{what} must give each flag once, got one with a hyphen and with an underscore in "
            f"{name!r}"
        )

    return values


def _take(kind: type[T], values: dict[str, Any]) -> T:
    """Settings of one class from ``values``; what it uses is removed there."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return settings_from(kind, {name: values.pop(name) for name in names if name in values})


@dataclass(frozen=True)
class ResumeSettings(StartSettings, BudgetSettings):
    """Resume a run that was stopped or killed. The result is that of a run that was never stopped.
    A budget or target that is not given stays as it was.
    """

    _: KW_ONLY
    run: Annotated[Path, Positional()]
    """The run directory."""


def parse_resume(argv: list[str]) -> ResumeSettings:
    """The settings from the words after ``esengine resume``. Raises UserError for a flag that only
    a new run takes.
    """
    own = {flag_name(field.name) for field in fields(ResumeSettings)}
    kept = {flag_name(field.name) for field in fields(TrainSettings)} - own
    for word in argv:
        flag = word.partition("=")[0].replace("_", "-")
        if flag in kept:
            raise UserError(
                f"a resumed run keeps its {flag}, got another; start a new run with --init-policy, "
                f"or change a budget: {listed(sorted(own - {'--run'}))}"
            )
    return parse(ResumeSettings, argv, "esengine resume")


def resume_changes(parsed: ResumeSettings) -> dict[str, object]:
    """The settings of the run that are to change: budgets, and the number of workers."""
    names = [*(field.name for field in fields(BudgetSettings)), "workers"]
    return {name: getattr(parsed, name) for name in names if getattr(parsed, name) is not None}
