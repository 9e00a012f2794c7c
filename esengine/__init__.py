"""Massively parallel evolution strategies over MPI.

`minimize`, `train`, `evaluate` and `load_policy` do from Python what the command line does;
`World`, `run_search` and the strategies in `esengine.algorithms` make loops of one's own. Names are
imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from esengine.candidates import AntitheticPairs as AntitheticPairs
    from esengine.candidates import Candidates as Candidates
    from esengine.candidates import GaussianSamples as GaussianSamples
    from esengine.candidates import MutatedParents as MutatedParents
    from esengine.candidates import ScaledSamples as ScaledSamples
    from esengine.errors import UserError as UserError
    from esengine.launch.api import evaluate as evaluate
    from esengine.launch.api import minimize as minimize
    from esengine.launch.api import run_search as run_search
    from esengine.launch.api import train as train
    from esengine.policies.policy_file import Policy as Policy
    from esengine.policies.policy_file import load_policy as load_policy
    from esengine.pool.population import Population as Population
    from esengine.problems import EnvironmentProblem as EnvironmentProblem
    from esengine.problems import ObjectiveProblem as ObjectiveProblem
    from esengine.ranks.world import World as World

_HOME = {
    "AntitheticPairs": "esengine.candidates",
    "Candidates": "esengine.candidates",
    "EnvironmentProblem": "esengine.problems",
    "GaussianSamples": "esengine.candidates",
    "MutatedParents": "esengine.candidates",
    "ObjectiveProblem": "esengine.problems",
    "Policy": "esengine.policies.policy_file",
    "Population": "esengine.pool",
    "ScaledSamples": "esengine.candidates",
    "UserError": "esengine.errors",
    "World": "esengine.ranks.world",
    "evaluate": "esengine.launch.api",
    "load_policy": "esengine.policies.policy_file",
    "minimize": "esengine.launch.api",
    "run_search": "esengine.launch.api",
    "train": "esengine.launch.api",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'esengine' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
