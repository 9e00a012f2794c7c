"""The methods, one per file.

Packages: `evolution` (strategies), `imitation`, `inverse_rl` (reward learning), `goals`,
`policy_gradient`, `planners`. Modules: `strategy` (the contracts), `saved_state` (states as named
attributes), `adam_state`, `novelty`, `trial_runs` (short runs on plain functions), `testing` (the
contract suite for strategies). No method depends on MPI: a strategy asks for a population and is
told its fitness.

A name is imported when it is first used: one method does not bring all others.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from esengine.algorithms.evolution.ars import ARS, ARSSettings
    from esengine.algorithms.evolution.cma_es import CMAES, CMAESSettings
    from esengine.algorithms.evolution.lm_ma_es import (
        LMMAES,
        LMMAESSettings,
    )
    from esengine.algorithms.evolution.openai_es import (
        OpenAIES,
        OpenAIESSettings,
    )
    from esengine.algorithms.evolution.pgpe import PGPE, PGPESettings
    from esengine.algorithms.evolution.recombining_es import RecombiningES
    from esengine.algorithms.evolution.sep_cma_es import (
        SepCMAES,
        SepCMAESSettings,
    )
    from esengine.algorithms.evolution.snes import SNES, SNESSettings
    from esengine.algorithms.evolution.truncation_es import (
        TruncationES,
        TruncationESSettings,
    )
    from esengine.algorithms.evolution.vkd_cma_es import (
        VkDCMAES,
        VkDCMAESSettings,
    )
    from esengine.algorithms.strategy import (
        Settings,
        State,
        Strategy,
        check_results,
    )

_HOME = {
    "ARS": "evolution.ars",
    "ARSSettings": "evolution.ars",
    "CMAES": "evolution.cma_es",
    "CMAESSettings": "evolution.cma_es",
    "LMMAES": "evolution.lm_ma_es",
    "LMMAESSettings": "evolution.lm_ma_es",
    "OpenAIES": "evolution.openai_es",
    "OpenAIESSettings": "evolution.openai_es",
    "PGPE": "evolution.pgpe",
    "PGPESettings": "evolution.pgpe",
    "RecombiningES": "evolution.recombining_es",
    "SNES": "evolution.snes",
    "SNESSettings": "evolution.snes",
    "SepCMAES": "evolution.sep_cma_es",
    "SepCMAESSettings": "evolution.sep_cma_es",
    "Settings": "strategy",
    "State": "strategy",
    "Strategy": "strategy",
    "TruncationES": "evolution.truncation_es",
    "TruncationESSettings": "evolution.truncation_es",
    "VkDCMAES": "evolution.vkd_cma_es",
    "VkDCMAESSettings": "evolution.vkd_cma_es",
    "check_results": "strategy",
}

__all__ = [
    "ARS",
    "CMAES",
    "LMMAES",
    "PGPE",
    "SNES",
    "ARSSettings",
    "CMAESSettings",
    "LMMAESSettings",
    "OpenAIES",
    "OpenAIESSettings",
    "PGPESettings",
    "RecombiningES",
    "SNESSettings",
    "SepCMAES",
    "SepCMAESSettings",
    "Settings",
    "State",
    "Strategy",
    "TruncationES",
    "TruncationESSettings",
    "VkDCMAES",
    "VkDCMAESSettings",
    "check_results",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
