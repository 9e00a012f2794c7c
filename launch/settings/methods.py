"""The methods of ``esengine train`` by name. Their modules are imported when they are asked for.

A name with a colon is a user's own strategy, ``module:Class``, whose settings stand beside it as
``ClassSettings``.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields, is_dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from esengine.errors import UserError, listed, nearest

if TYPE_CHECKING:
    from esengine.algorithms.strategy import Settings


@dataclass(frozen=True)
class Family:
    """Methods whose runs are made in the same way.

    Attributes:
        name: in words.
        unread: shared settings that have no meaning for them.
        needs_torch: whether they learn with PyTorch.
    """

    name: str
    unread: tuple[str, ...] = ()
    needs_torch: bool = True


_OF_OBJECTIVES = ("objective", "dimension", "minimize", "initial_mean")
_OF_JUMPS = ("keep_skill", "anchor", "anchor_decay")

STRATEGY = Family("strategy", needs_torch=False)
IMITATION = Family(
    "imitation",
    (
        *_OF_OBJECTIVES,
        *_OF_JUMPS,
        "episodes_per_member",
        "reward",
        "goals",
        "survival_bonus",
        "episode_seeds",
        "noise_table_size",
    ),
)
POLICY_GRADIENT = Family(
    "policy gradient",
    (
        *_OF_OBJECTIVES,
        *_OF_JUMPS,
        "episodes_per_member",
        "member_statistic",
        "member_quantile",
        "survival_bonus",
        "episode_seeds",
        "episode_cap",
        "stop_step",
        "novelty",
        "noise_table_size",
        "goals",
    ),
)
REWARD_LEARNING = Family(
    "reward learning",
    (
        *_OF_OBJECTIVES,
        *_OF_JUMPS,
        "reward",
        "potential",
        "potential_discount",
        "survival_bonus",
        "novelty",
        "episode_cap",
        "stop_step",
        "goals",
    ),
)

_SETTINGS = {
    STRATEGY: {
        "truncation-es": "evolution.truncation_es:TruncationESSettings",
        "openai-es": "evolution.openai_es:OpenAIESSettings",
        "ars": "evolution.ars:ARSSettings",
        "pgpe": "evolution.pgpe:PGPESettings",
        "snes": "evolution.snes:SNESSettings",
        "cma-es": "evolution.cma_es:CMAESSettings",
        "sep-cma-es": "evolution.sep_cma_es:SepCMAESSettings",
        "lm-ma-es": "evolution.lm_ma_es:LMMAESSettings",
        "pycma": "evolution.pycma:PyCMASettings",
    },
    IMITATION: {
        "behavior-cloning": "imitation.behavior_cloning:BehaviorCloningSettings",
        "dagger": "imitation.dagger:DAggerSettings",
        "dart": "imitation.dart:DARTSettings",
        "plato": "imitation.plato:PLATOSettings",
        "guided-policy-search": "imitation.guided_policy_search:GuidedPolicySearchSettings",
    },
    POLICY_GRADIENT: {"ppo": "policy_gradient.ppo:PPOSettings"},
    REWARD_LEARNING: {
        "gail": "inverse_rl.settings:GAILSettings",
        "airl": "inverse_rl.settings:AIRLSettings",
        "inverse-rl": "inverse_rl.settings:InverseRLSettings",
    },
}
METHODS = {name: family for family, methods in _SETTINGS.items() for name in methods}
"""The family of every method by name."""
STRATEGIES = tuple(_SETTINGS[STRATEGY])


def family_of(method: str) -> Family:
    """The family of a method; a custom one, module:Class, is a strategy."""
    return METHODS.get(method, STRATEGY)


def check_torch(method: str) -> None:
    """Raises UserError if a method learns with PyTorch, and there is none."""
    if family_of(method).needs_torch and find_spec("torch") is None:
        raise UserError(
            f"{method} needs PyTorch, which is not installed; pip install 'esengine[torch]' "
            f"(README tells of small builds)"
        )


def defaults_of(method: str) -> dict[str, Any]:
    """The shared settings' defaults that are a method's own."""
    defaults: dict[str, Any] = getattr(settings_of(method), "defaults", {})
    return defaults


def settings_of(method: str) -> type[Settings]:
    """The settings class of a method. Raises UserError for an unknown one, with the known ones."""
    if ":" in method:
        return _settings_of_strategy(method)
    if method not in METHODS:
        way_out = nearest(method, METHODS) or "; see esengine train --help"
        raise UserError(f"the method must be one of {listed(METHODS)}, got {method!r}{way_out}")
    module, _, name = _SETTINGS[METHODS[method]][method].partition(":")
    kind: type[Settings] = getattr(import_module(f"esengine.algorithms.{module}"), name)
    return kind


def _settings_of_strategy(name: str) -> type[Settings]:
    """The settings beside a user's own strategy. Raises UserError for one that ``esengine train``
    cannot run.
    """
    from esengine.user_code import named_callable

    strategy = named_callable("--strategy", name, "mypackage.search:HillClimb", "Class")
    module = import_module(name.partition(":")[0])
    beside = f"{strategy.__name__}Settings"
    settings: Any = getattr(module, beside, None)
    if not (is_dataclass(settings) and isinstance(settings, type)):
        raise UserError(
            f"--strategy {name} needs a frozen dataclass {beside} beside it, got none; its fields "
            f"become flags"
        )
    missing = [
        member for member in ("antithetic", "check", "strategy") if not hasattr(settings, member)
    ]
    if missing:
        raise UserError(
            f"{beside} must have antithetic, check and strategy, lacks {listed(missing)}; see "
            f"docs/strategies.md"
        )
    bare = [
        each.name
        for each in fields(settings)
        if each.default is MISSING and each.default_factory is MISSING
    ]
    if bare:
        raise UserError(
            f"every field of {beside} must have a default, got none for {listed(bare)}; add one"
        )
    return settings  # type: ignore[return-value]
