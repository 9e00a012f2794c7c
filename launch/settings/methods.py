"""The methods of ``esengine train`` by name. Their modules are imported when they are asked for.

A name with a colon is a user's own strategy, ``module:Class``, whose settings stand beside it as
``ClassSettings``.
"""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from esengine.errors import UserError, listed, nearest

if TYPE_CHECKING:
    from esengine.algorithms.strategy import Settings

METHODS = {
    "truncation-es": "evolution.truncation_es:TruncationESSettings",
    "openai-es": "evolution.openai_es:OpenAIESSettings",
    "ars": "evolution.ars:ARSSettings",
    "pgpe": "evolution.pgpe:PGPESettings",
    "snes": "evolution.snes:SNESSettings",
    "cma-es": "evolution.cma_es:CMAESSettings",
    "sep-cma-es": "evolution.sep_cma_es:SepCMAESSettings",
    "lm-ma-es": "evolution.lm_ma_es:LMMAESSettings",
    "pycma": "evolution.pycma:PyCMASettings",
    "behavior-cloning": "imitation.behavior_cloning:BehaviorCloningSettings",
    "dagger": "imitation.dagger:DAggerSettings",
    "dart": "imitation.dart:DARTSettings",
    "plato": "imitation.plato:PLATOSettings",
    "guided-policy-search": "imitation.guided_policy_search:GuidedPolicySearchSettings",
    "ppo": "policy_gradient.ppo:PPOSettings",
    "gail": "inverse_rl.settings:GAILSettings",
    "airl": "inverse_rl.settings:AIRLSettings",
    "inverse-rl": "inverse_rl.settings:InverseRLSettings",
}

_LOOPS = {
    "behavior-cloning": "imitation",
    "dagger": "imitation",
    "dart": "imitation",
    "plato": "imitation",
    "guided-policy-search": "imitation",
    "ppo": "policy_gradient",
    "gail": "reward_learning",
    "airl": "reward_learning",
    "inverse-rl": "reward_learning",
}
"""Modules of `esengine.launch.training` that run the methods which are no strategies: with
``complete``, ``prepare`` and ``run``.
"""


def loop_of(method: str) -> Any | None:
    """The module that runs a method, or None for a strategy, which `training` runs."""
    return import_module(f"esengine.launch.training.{_LOOPS[method]}") if method in _LOOPS else None


def check_torch(method: str) -> None:
    """Raises UserError if there is no PyTorch for one of the methods that are no strategies, which
    learn with it.
    """
    if method in _LOOPS and find_spec("torch") is None:
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
    module, _, name = METHODS[method].partition(":")
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
