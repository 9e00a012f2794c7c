"""Massively parallel evolution strategies over MPI.

`minimize`, `train`, `evaluate`, `collect` and `load_policy` do from Python what the command line
does. `World`, `run_search` and the strategies in `esengine.algorithms` are for custom loops. A name
is imported when it is first used.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"


def _refuse_namesake() -> None:
    """Raises ImportError if another distribution called esengine has put its files among ours."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for name in os.listdir(folder):
        if name.startswith("esengine-") and name.endswith(".dist-info"):
            raise ImportError(
                f"the distribution esengine-mpi must be the only one with a package esengine, got "
                f"{name} beside it in {folder}; pip uninstall esengine, then pip install "
                f"--force-reinstall --no-deps esengine-mpi"
            )


_refuse_namesake()

if TYPE_CHECKING:
    from esengine.candidates import (
        AntitheticPairs as AntitheticPairs,
        Candidates as Candidates,
        GaussianSamples as GaussianSamples,
        MutatedParents as MutatedParents,
        ScaledSamples as ScaledSamples,
    )
    from esengine.demonstrations import (
        Demonstrations as Demonstrations,
        Trajectory as Trajectory,
        load_demonstrations as load_demonstrations,
        save_demonstrations as save_demonstrations,
    )
    from esengine.environments import EnvironmentSpec as EnvironmentSpec
    from esengine.errors import UserError as UserError, WorkerError as WorkerError
    from esengine.launch.api import (
        collect as collect,
        evaluate as evaluate,
        load_run as load_run,
        minimize as minimize,
        resume as resume,
        run_search as run_search,
        train as train,
    )
    from esengine.launch.python.carried_out import Stopped as Stopped
    from esengine.launch.runs.result import RunResult as RunResult
    from esengine.launch.runs.trackers import (
        MlflowCallback as MlflowCallback,
        WandbCallback as WandbCallback,
    )
    from esengine.policies import (
        Policy as Policy,
        PolicySpec as PolicySpec,
        load_policy as load_policy,
    )
    from esengine.pool import Population as Population
    from esengine.problems import (
        EnvironmentProblem as EnvironmentProblem,
        ObjectiveProblem as ObjectiveProblem,
    )
    from esengine.ranks import World as World

_HOME = {
    "AntitheticPairs": "esengine.candidates",
    "Candidates": "esengine.candidates",
    "Demonstrations": "esengine.demonstrations",
    "EnvironmentProblem": "esengine.problems",
    "EnvironmentSpec": "esengine.environments",
    "GaussianSamples": "esengine.candidates",
    "MlflowCallback": "esengine.launch.runs.trackers",
    "MutatedParents": "esengine.candidates",
    "ObjectiveProblem": "esengine.problems",
    "Policy": "esengine.policies",
    "PolicySpec": "esengine.policies",
    "Population": "esengine.pool",
    "RunResult": "esengine.launch.runs.result",
    "ScaledSamples": "esengine.candidates",
    "Stopped": "esengine.launch.python.carried_out",
    "Trajectory": "esengine.demonstrations",
    "UserError": "esengine.errors",
    "WandbCallback": "esengine.launch.runs.trackers",
    "WorkerError": "esengine.errors",
    "World": "esengine.ranks",
    "collect": "esengine.launch.api",
    "evaluate": "esengine.launch.api",
    "load_demonstrations": "esengine.demonstrations",
    "load_policy": "esengine.policies",
    "load_run": "esengine.launch.api",
    "minimize": "esengine.launch.api",
    "resume": "esengine.launch.api",
    "run_search": "esengine.launch.api",
    "save_demonstrations": "esengine.demonstrations",
    "train": "esengine.launch.api",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'esengine' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
