"""The method ``auto``: a search of an objective, chosen by its number of parameters, their kinds,
the budget and noise.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from esengine.algorithms.evolution.step_sizes import StepSizeSettings
from esengine.checks import at_least
from esengine.errors import UserError
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.methods import settings_of
from esengine.launch.settings.train_settings import TrainSettings
from esengine.user_code import named_callable, takes

AUTO = "auto"

_FEW_EVALUATIONS = 200  # for each parameter, up to which a surrogate pays
_MOST_FOR_A_MODEL = 40  # parameters, beyond which a model has only a diagonal
_MOST_FOR_A_MATRIX = 500  # parameters, beyond which a matrix takes longer than most objectives
_MATRIX = 10.0  # evaluations for each number of a matrix, to learn it


@dataclass(frozen=True)
class AutoSettings(StepSizeSettings):
    """Let esengine choose a search for an objective; the run reports which one, and why."""

    antithetic: ClassVar[bool] = False

    population_size: int | None = None
    """Members per generation (lambda); default 4 + 3 ln(parameters)."""

    def check(self) -> None:
        """Raises UserError for a population that no search has."""
        super().check()
        at_least(self, 4, "population_size")


@dataclass(frozen=True)
class Choice:
    """A method with its settings, and why it was chosen."""

    method: str
    reason: str
    settings: tuple[tuple[str, Any], ...] = ()


def kind_of(method: str) -> type[Any]:
    """The settings class of a method, or of ``auto``."""
    return AutoSettings if method == AUTO else settings_of(method)


def chosen(config: RunConfig) -> RunConfig:
    """The configuration with a method in place of ``auto``; any other one as it is.

    Raises:
        UserError: the task is an environment, or the objective cannot be imported.
    """
    if config.method != AUTO:
        return config
    train = config.train
    if not train.is_function or train.dimension is None:
        raise UserError(
            f"auto must be used with an objective and its --dimension, got {train.env_id}; "
            f"docs/methods.md says which method suits which environment"
        )
    function = None
    if train.objective is not None:
        function = named_callable("--objective", train.objective, "mymodule:cost")
    seeded = takes(function, "seed") or "{seed}" in (train.command or "")
    noisy = train.noise == "on" or (train.noise == "auto" and seeded)

    choice = choose(train, noisy)
    given = {name: value for name, value in asdict(config.search).items() if value is not None}  # type: ignore[call-overload]
    search = settings_of(choice.method)(**given, **dict(choice.settings))
    flags = "".join(f" --{name.replace('_', '-')} {value}" for name, value in choice.settings)
    return replace(
        config,
        method=choice.method,
        search=search,
        choice=f"auto chose {choice.method}{flags}: {choice.reason}",
    )


def choose(train: TrainSettings, noisy: bool) -> Choice:
    """The method for an objective.

    Args:
        train: with a ``dimension``.
        noisy: whether fitness is noisy.
    """
    assert train.dimension is not None
    n = train.dimension
    if train.has_space:
        n = train.space(train.dimension).dimension  # fixed variables are not searched
    whole = bool(train.integer_variables)
    evaluations = math.inf if train.max_evaluations is None else train.max_evaluations
    what = f"{n:,} parameters"

    if noisy and n <= _MOST_FOR_A_MATRIX:
        return Choice("cma-es", f"{what} with noise, to which its population adapts")
    plain = not noisy and not whole and not train.returns and train.command is None
    if plain and n <= _MOST_FOR_A_MODEL and evaluations <= _FEW_EVALUATIONS * n:
        reason = f"{what} and {evaluations / n:,.0f} evaluations each, few enough for a model"
        return Choice("cma-es", reason, (("surrogate", "lq"),))
    if n > _MOST_FOR_A_MATRIX:
        return Choice("vkd-cma-es", f"{what}, too many for a full matrix")
    if n > 50 and evaluations < _MATRIX * n * n:
        reason = f"{what} and {evaluations:,.0f} evaluations, too few to learn a full matrix"
        return Choice("vkd-cma-es", reason)
    kind = ", some of them whole numbers" if whole else ""
    return Choice("cma-es", f"{what}{kind}, whose dependencies a full matrix learns")
