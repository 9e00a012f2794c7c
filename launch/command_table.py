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
        "METHOD", "train a policy, or optimise a function; METHOD is one of: {methods}"
    ),
    "resume": Command("RUN", "resume a run that was stopped or killed, with the same result"),
    "evaluate": Command("RUN", "mean return of a policy on fresh episodes"),
    "watch": Command("RUN", "show the progress of a run from its files, in any shell"),
    "plot": Command(
        "RUN ...",
        "plot curves with bands over seeds, step sizes, spectra, fitness, scaling, profiles",
    ),
    "rewards": Command(
        "A B ...", "distances between learned rewards, regardless of their shaping and scale"
    ),
    "render": Command("RUN", "film a policy without a screen, as GIF or MP4"),
    "export": Command(
        "RUN",
        "export a policy as torch module, ONNX graph or Stable-Baselines3-compatible object",
    ),
    "report": Command(
        "RUN", "one page of HTML: settings, curves, film, failures, how to repeat the run"
    ),
    "collect": Command(
        "", "record demonstrations of a policy, of a planner, of a custom expert, or of rules"
    ),
    "demos": Command(
        "inspect | convert",
        "check files of demonstrations and print what they hold, or convert them",
    ),
    "failures": Command(
        "RUN", "cluster a policy's worst episodes by how they failed, to write rules for them"
    ),
    "submit": Command(
        "-- COMMAND",
        "submit train or another command to Slurm; the job requeues itself until the run is done",
    ),
    "status": Command(
        "[RUN | JOB]", "progress of submitted runs: queue, accounting, and the records of the runs"
    ),
    "cancel": Command("JOB", "end a job, an array or one of its tasks; the run keeps a checkpoint"),
    "job": Command(
        "-- COMMAND",
        "inside a Slurm script: train or resume on the tasks of the job, over several starts if "
        "needed",
    ),
    "replay": Command("RUN", "evaluate one member of a run again, with the same result"),
    "doctor": Command("", "what this installation has, and what it lacks"),
    "bench": Command(
        "SUBJECT",
        "speed of the engine on this machine; SUBJECT is one of: kernels, rollouts, scaling, "
        "profile",
    ),
}
