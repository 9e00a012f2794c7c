"""The methods, one a file. A strategy knows no MPI: it asks for a population and is told its fitness."""

from esengine.algorithms.ars import ARS, ARSSettings
from esengine.algorithms.cma_es import CMAES, CMAESSettings
from esengine.algorithms.openai_es import OpenAIES, OpenAIESSettings
from esengine.algorithms.pgpe import PGPE, PGPESettings
from esengine.algorithms.recombining_es import RecombiningES
from esengine.algorithms.sep_cma_es import SepCMAES, SepCMAESSettings
from esengine.algorithms.snes import SNES, SNESSettings
from esengine.algorithms.strategy import Settings, State, Strategy, check_results
from esengine.algorithms.truncation_es import TruncationES, TruncationESSettings

__all__ = [
    "ARS",
    "CMAES",
    "PGPE",
    "SNES",
    "ARSSettings",
    "CMAESSettings",
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
    "check_results",
]
