"""``esengine evaluate RUN``: estimate the mean return of a policy."""

from __future__ import annotations

from esengine.launch.results.evaluation import EvaluateSettings, evaluate_command
from esengine.launch.settings.flags import parse_with_argument
from esengine.ranks import StopRequest


def command(argv: list[str], stop: StopRequest) -> int:
    """Evaluate the policy; returns the exit status. Raises UserError for a file that holds no
    policy.
    """
    about = "A run directory or a policy file."
    policy, settings = parse_with_argument(
        EvaluateSettings, argv, "esengine evaluate", "policy", about
    )
    return evaluate_command(policy, settings, stop)
