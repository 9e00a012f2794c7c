"""The methods of ``esengine train`` by name. Their modules are imported when they are asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

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
    "lm-ma-es": "lm_ma_es:LMMAESSettings",
}


def settings_of(method: str) -> type[Settings]:
    """The settings class of a method. Raises UserError for an unknown one, with the known ones."""
    if method not in METHODS:
        raise UserError(f"the method must be one of {listed(METHODS)}, got {method!r}; see esengine train --help")
    module, _, name = METHODS[method].partition(":")
    kind: type[Settings] = getattr(import_module(f"esengine.algorithms.{module}"), name)
    return kind
