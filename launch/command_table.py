"""The table of commands."""

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
    "train": Command(
        "METHOD", "evolve a policy, or optimise a function; METHOD is one of: {methods}"
    ),
    "resume": Command("RUN", "go on with a run that was stopped or killed, exactly"),
    "evaluate": Command(
        "RUN", "mean return of a run's policy, or of a policy file, on fresh episodes"
    ),
    "watch": Command("RUN", "how a run stands, followed from another shell by its files alone"),
    "plot": Command(
        "RUN ...",
        "curves with bands over seeds, step sizes, spectra, clouds of fitness, scaling, profiles",
    ),
    "rewards": Command(
        "A B ...", "how far learned rewards are apart, whatever shapes and scales them"
    ),
    "render": Command("RUN", "film a run's policy, without a screen, as GIF or MP4"),
    "export": Command(
        "RUN",
        "a run's policy as a torch module, an ONNX graph, or a Stable-Baselines3-compatible object",
    ),
    "report": Command(
        "RUN", "one page of HTML: settings, curves, film, failures, how to repeat the run"
    ),
    "collect": Command(
        "", "demonstrations of a run's policy, of a planner, of an expert of your own, or of rules"
    ),
    "demos": Command(
        "inspect",
        "what a file of demonstrations holds, and whether it is whole; demos convert rewrites it",
    ),
    "failures": Command(
        "RUN", "a policy's worst episodes, clustered by how they failed, to write rules by"
    ),
    "submit": Command(
        "-- COMMAND",
        "hand train, or another command, to Slurm; the job requeues itself until the run is done",
    ),
    "status": Command(
        "[RUN | JOB]", "how far submitted runs are: queue, accounting, and the run's own records"
    ),
    "cancel": Command("JOB", "end a job, an array or one task of it, with a checkpoint"),
    "job": Command(
        "-- COMMAND",
        "inside a Slurm script: train or resume on the job's tasks, over as many starts as it "
        "needs",
    ),
    "replay": Command("RUN", "one member of a run again, exactly: its exception, or its fitness"),
    "doctor": Command("", "what this installation has, and what it lacks"),
    "bench": Command(
        "SUBJECT",
        "how fast the engine is on this machine; SUBJECT: kernels, rollouts, dispatch, scaling, "
        "profile",
    ),
}
