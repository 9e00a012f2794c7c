"""Populations that a strategy asks to evaluate, described compactly and without dense members.

Each class is both ends of one message: `publish` returns what travels once to every node, `receive`
rebuilds the population there, and `rows` computes the parameters of some members from the noise.

Modules: `contract` (the base class), `chunking` (the units of work), and one for each kind of
population: `mutations`, `pairs`, `scaled`, `gaussian`, `limited`, `lines`, `restricted`, `given`,
`joint`, `repeated`, `episodes`, `trials`, `with_point`.
"""

from esengine.candidates.chunking import chunk_size, chunks, evaluation_chunk_size
from esengine.candidates.contract import Candidates, Message
from esengine.candidates.episodes import PolicyEpisodes
from esengine.candidates.gaussian import GaussianSamples
from esengine.candidates.given import GivenPoints
from esengine.candidates.joint import JointPopulation
from esengine.candidates.limited import LimitedSamples
from esengine.candidates.lines import LineVariations
from esengine.candidates.mutations import Genomes, MutatedParents
from esengine.candidates.pairs import AntitheticPairs
from esengine.candidates.repeated import RepeatedPopulation
from esengine.candidates.restricted import RestrictedSamples
from esengine.candidates.scaled import ScaledSamples
from esengine.candidates.trials import TrialPairs
from esengine.candidates.with_point import POPULATIONS, WithPoint

KINDS: dict[str, type[Candidates]] = POPULATIONS | {
    kind.__name__: kind for kind in (WithPoint, RepeatedPopulation, PolicyEpisodes, TrialPairs)
}

__all__ = [
    "KINDS",
    "AntitheticPairs",
    "Candidates",
    "GaussianSamples",
    "Genomes",
    "GivenPoints",
    "JointPopulation",
    "LimitedSamples",
    "LineVariations",
    "Message",
    "MutatedParents",
    "PolicyEpisodes",
    "RepeatedPopulation",
    "RestrictedSamples",
    "ScaledSamples",
    "TrialPairs",
    "WithPoint",
    "chunk_size",
    "chunks",
    "evaluation_chunk_size",
]
