"""What members are evaluated on: a policy in an environment, or a plain function.

What runs episodes is imported when it is first used, since it brings all simulators.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from esengine.problems.anchor import Anchor
from esengine.problems.chunk_arrays import ArraySpec
from esengine.problems.columns import Column, Columns
from esengine.problems.contract import Evaluated, Problem, failure_of
from esengine.problems.episodes import EpisodeSeeds, MemberStatistic, Summary, episode_seeds
from esengine.problems.evaluations import Evaluations
from esengine.problems.failures import MembersFailed, failure_words
from esengine.problems.general_objective import GeneralObjective
from esengine.problems.objective import ObjectiveProblem
from esengine.problems.records import FAILED, MEMBER, OK, failed_records, new_records

if TYPE_CHECKING:
    from esengine.problems.environment import EnvironmentProblem
    from esengine.problems.environment_episodes import EnvironmentEpisodes
    from esengine.problems.parts import EpisodeRunner, Evaluator, ProblemPart

_HOME = {
    "EnvironmentEpisodes": "environment_episodes",
    "EnvironmentProblem": "environment",
    "EpisodeRunner": "parts",
    "Evaluator": "parts",
    "ProblemPart": "parts",
}

__all__ = [
    "FAILED",
    "MEMBER",
    "OK",
    "Anchor",
    "ArraySpec",
    "Column",
    "Columns",
    "EnvironmentEpisodes",
    "EnvironmentProblem",
    "EpisodeRunner",
    "EpisodeSeeds",
    "Evaluated",
    "Evaluations",
    "Evaluator",
    "GeneralObjective",
    "MemberStatistic",
    "MembersFailed",
    "ObjectiveProblem",
    "Problem",
    "ProblemPart",
    "Summary",
    "episode_seeds",
    "failed_records",
    "failure_of",
    "failure_words",
    "new_records",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
