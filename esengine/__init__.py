"""Massively parallel evolution strategies over MPI.

`minimize`, `train`, `evaluate`, `collect` and `load_policy` do from Python what the command line
does. `World`, `run_search` and the strategies in `esengine.algorithms` are for custom loops. A name
is imported when it is first used.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esengine.late_names import late_names

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
    from esengine.repertoires import Repertoire as Repertoire, load_archive as load_archive

__getattr__, __dir__, __all__ = late_names(__name__)
__all__.append("__version__")
