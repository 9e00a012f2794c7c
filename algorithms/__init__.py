"""The methods, one per file.

Packages: `evolution` (strategies), `imitation`, `inverse_rl` (reward learning), `goals`,
`policy_gradient`, `planners`. Modules: `strategy` (the contracts), `saved_state` (states as named
attributes), `adam_state`, `novelty`, `trial_runs` (short runs on plain functions), `testing` (the
contract suite for strategies). No method depends on MPI: a strategy asks for a population and is
told its fitness.

A name is imported when it is first used: one method does not bring all others. Type checkers and
`late_names` read the same list.
"""

from typing import TYPE_CHECKING

from esengine.late_names import late_names

if TYPE_CHECKING:
    from esengine.algorithms.evolution.ars import (
        ARS as ARS,
        ARSSettings as ARSSettings,
    )
    from esengine.algorithms.evolution.cma_es import (
        CMAES as CMAES,
        CMAESSettings as CMAESSettings,
    )
    from esengine.algorithms.evolution.lm_ma_es import (
        LMMAES as LMMAES,
        LMMAESSettings as LMMAESSettings,
    )
    from esengine.algorithms.evolution.openai_es import (
        OpenAIES as OpenAIES,
        OpenAIESSettings as OpenAIESSettings,
    )
    from esengine.algorithms.evolution.pgpe import (
        PGPE as PGPE,
        PGPESettings as PGPESettings,
    )
    from esengine.algorithms.evolution.recombining_es import (
        RecombiningES as RecombiningES,
    )
    from esengine.algorithms.evolution.sep_cma_es import (
        SepCMAES as SepCMAES,
        SepCMAESSettings as SepCMAESSettings,
    )
    from esengine.algorithms.evolution.snes import (
        SNES as SNES,
        SNESSettings as SNESSettings,
    )
    from esengine.algorithms.evolution.truncation_es import (
        TruncationES as TruncationES,
        TruncationESSettings as TruncationESSettings,
    )
    from esengine.algorithms.evolution.vkd_cma_es import (
        VkDCMAES as VkDCMAES,
        VkDCMAESSettings as VkDCMAESSettings,
    )
    from esengine.algorithms.strategy import (
        Settings as Settings,
        State as State,
        Strategy as Strategy,
        check_results as check_results,
    )

__getattr__, __dir__, __all__ = late_names(__name__)
