"""The commands of ``esengine``, one a module: each has ``command(argv, stop)``, which returns the exit status."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """A line of ``esengine --help``.

    Attributes:
        argument: what the command takes first.
        summary: what it does.
    """

    argument: str
    summary: str


COMMANDS = {
    "train": Command("METHOD", "evolve a policy, or optimise a function; METHOD is one of: {methods}"),
    "resume": Command("RUN", "go on with a run that was stopped or killed, exactly"),
    "evaluate": Command("RUN", "mean return of a run's policy, or of a policy file, on fresh episodes"),
    "collect": Command("", "demonstrations of a run's policy, of a planner, of an expert of your own, or of rules"),
    "demos": Command("inspect", "what a file of demonstrations holds, and whether it is whole; demos convert rewrites it"),
    "failures": Command("RUN", "a policy's worst episodes, clustered by how they failed, to write rules by"),
    "doctor": Command("", "what this installation has, and what it lacks"),
    "bench": Command(
        "SUBJECT", "how fast the engine is on this machine; SUBJECT: kernels, rollouts, dispatch, scaling, profile"
    ),
}
