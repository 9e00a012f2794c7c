"""Populations described compactly: what a strategy asks to be evaluated, without one dense member.

Each class is both ends of one message: `publish` gives what travels once to every node, `receive`
rebuilds the population there, and `rows` makes the parameters of a run of members from the node's
noise. `chunks` fixes the unit of all work.
"""

from esengine.candidates.chunking import chunk_size, chunks, evaluation_chunk_size
from esengine.candidates.contract import Candidates, Message
from esengine.candidates.episodes import PolicyEpisodes
from esengine.candidates.gaussian import GaussianSamples
from esengine.candidates.given import GivenPoints
from esengine.candidates.joint import JointPopulation
from esengine.candidates.limited import LimitedSamples
from esengine.candidates.mutations import Genomes, MutatedParents
from esengine.candidates.pairs import AntitheticPairs
from esengine.candidates.scaled import ScaledSamples

_ALL = (
    MutatedParents,
    AntitheticPairs,
    ScaledSamples,
    GaussianSamples,
    LimitedSamples,
    GivenPoints,
    JointPopulation,
    PolicyEpisodes,
)
KINDS: dict[str, type[Candidates]] = {kind.__name__: kind for kind in _ALL}

__all__ = [
    "KINDS",
    "AntitheticPairs",
    "Candidates",
    "GaussianSamples",
    "Genomes",
    "GivenPoints",
    "JointPopulation",
    "LimitedSamples",
    "Message",
    "MutatedParents",
    "PolicyEpisodes",
    "ScaledSamples",
    "chunk_size",
    "chunks",
    "evaluation_chunk_size",
]
