"""The methods, one a file. A strategy knows no MPI: it asks for a population and is told its fitness."""

from esengine.algorithms.ars import ARS, ARSSettings
from esengine.algorithms.cma_es import CMAES, CMAESSettings
from esengine.algorithms.openai_es import OpenAIES, OpenAIESSettings
from esengine.algorithms.recombining_es import RecombiningES
from esengine.algorithms.strategy import Strategy
from esengine.algorithms.truncation_es import TruncationES, TruncationESSettings

__all__ = [
    "ARS",
    "CMAES",
    "ARSSettings",
    "CMAESSettings",
    "OpenAIES",
    "OpenAIESSettings",
    "RecombiningES",
    "Strategy",
    "TruncationES",
    "TruncationESSettings",
]
