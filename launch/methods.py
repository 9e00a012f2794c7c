"""The methods of ``esengine train`` by name. Their modules are imported when they are asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from esengine.errors import UserError, listed

if TYPE_CHECKING:
    from esengine.algorithms.strategy import Settings

METHODS = {
    "truncation-es": "truncation_es:TruncationESSettings",
    "openai-es": "openai_es:OpenAIESSettings",
    "ars": "ars:ARSSettings",
    "pgpe": "pgpe:PGPESettings",
    "snes": "snes:SNESSettings",
    "cma-es": "cma_es:CMAESSettings",
    "sep-cma-es": "sep_cma_es:SepCMAESSettings",
    "behavior-cloning": "behavior_cloning:BehaviorCloningSettings",
    "dagger": "dagger:DAggerSettings",
    "dart": "dart:DARTSettings",
    "plato": "plato:PLATOSettings",
}

_LOOPS = {"behavior-cloning": "imitation", "dagger": "imitation", "dart": "imitation", "plato": "imitation"}
"""Modules of `esengine.launch` that run the methods which are no strategies: with ``complete``, ``prepare`` and ``run``."""


def loop_of(method: str) -> Any | None:
    """The module that runs a method, or None for a strategy, which `training` runs."""
    return import_module(f"esengine.launch.{_LOOPS[method]}") if method in _LOOPS else None


def defaults_of(method: str) -> dict[str, Any]:
    """The shared settings' defaults that are a method's own."""
    defaults: dict[str, Any] = getattr(settings_of(method), "defaults", {})
    return defaults


def settings_of(method: str) -> type[Settings]:
    """The settings class of a method. Raises UserError for an unknown one, with the known ones."""
    if method not in METHODS:
        raise UserError(f"the method must be one of {listed(METHODS)}, got {method!r}; see esengine train --help")
    module, _, name = METHODS[method].partition(":")
    kind: type[Settings] = getattr(import_module(f"esengine.algorithms.{module}"), name)
    return kind
