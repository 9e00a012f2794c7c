"""What members are evaluated on: a policy in an environment, or a plain function.

What runs episodes is imported when it is first used, since it brings all simulators.
"""

from typing import TYPE_CHECKING

from esengine.late_names import late_names
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
    from esengine.problems.environment import EnvironmentProblem as EnvironmentProblem
    from esengine.problems.environment_episodes import EnvironmentEpisodes as EnvironmentEpisodes
    from esengine.problems.parts import (
        EpisodeRunner as EpisodeRunner,
        Evaluator as Evaluator,
        ProblemPart as ProblemPart,
    )

__all__ = [
    "FAILED",
    "MEMBER",
    "OK",
    "Anchor",
    "ArraySpec",
    "Column",
    "Columns",
    "EpisodeSeeds",
    "Evaluated",
    "Evaluations",
    "GeneralObjective",
    "MemberStatistic",
    "MembersFailed",
    "ObjectiveProblem",
    "Problem",
    "Summary",
    "episode_seeds",
    "failed_records",
    "failure_of",
    "failure_words",
    "new_records",
]

__getattr__, __dir__, _late = late_names(__name__)
__all__ += _late
