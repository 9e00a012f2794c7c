"""The table of commands, each of them in the module that does its work."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple


class Command(NamedTuple):
    """A line of ``esengine --help``.

    Attributes:
        argument: what the command takes first.
        summary: what it does.
        module: of `esengine.launch`, whose function ``<command>_command`` carries it out.
        stops_in_order: whether it looks for signals itself, since ranks or a run depend on it. A
            signal ends any other command at once.
    """

    argument: str
    summary: str
    module: str
    stops_in_order: bool = False


COMMANDS = {
    "train": Command(
        "METHOD",
        "train a policy, or optimise a function; METHOD is one of: {methods}",
        "training.commands",
        stops_in_order=True,
    ),
    "resume": Command(
        "RUN",
        "resume a run that was stopped or killed, with the same result",
        "training.commands",
        stops_in_order=True,
    ),
    "sweep": Command(
        "FILE",
        "train with a grid or a list of settings and seeds, on the same workers at once",
        "training.commands",
        stops_in_order=True,
    ),
    "evaluate": Command(
        "RUN ...",
        "mean return of policies on fresh episodes, and their differences over the same starts",
        "results.evaluation",
        stops_in_order=True,
    ),
    "watch": Command(
        "RUN",
        "show the progress of a run from its files, in any shell",
        "terminal.watch",
        stops_in_order=True,
    ),
    "compare": Command(
        "METHOD ...",
        "train methods with several seeds, and compare them: curves, intervals, commands",
        "results.comparison",
        stops_in_order=True,
    ),
    "plot": Command(
        "RUN ...",
        "plot curves with bands over seeds, step sizes, spectra, fitness, scaling, profiles",
        "results.plotting.command",
    ),
    "rewards": Command(
        "A B ...",
        "distances between learned rewards, regardless of their shaping and scale",
        "results.reward_distance",
    ),
    "render": Command("RUN", "film a policy without a screen, as GIF or MP4", "results.rendering"),
    "export": Command(
        "RUN",
        "export a policy as torch module, ONNX graph or Stable-Baselines3-compatible object",
        "results.exporting.export",
    ),
    "import": Command(
        "FILE",
        "make a policy file of a model of Stable-Baselines3 or an ONNX graph",
        "results.importing",
    ),
    "report": Command(
        "RUN",
        "one page of HTML: settings, curves, film, failures, how to repeat the run",
        "results.reporting.report",
    ),
    "collect": Command(
        "",
        "record demonstrations of a policy, of a planner, of a custom expert, or of rules",
        "demonstrations.collecting",
        stops_in_order=True,
    ),
    "demos": Command(
        "inspect | convert",
        "check files of demonstrations and print what they hold, or convert them",
        "demonstrations.demos",
    ),
    "failures": Command(
        "RUN",
        "cluster a policy's worst episodes by how they failed, to write rules for them",
        "results.failures",
        stops_in_order=True,
    ),
    "submit": Command(
        "-- COMMAND",
        "submit train or another command to Slurm; the job requeues itself until the run is done",
        "slurm.submission",
    ),
    "status": Command(
        "[RUN | JOB]",
        "progress of submitted runs: queue, accounting, and the records of the runs",
        "slurm.overview",
    ),
    "cancel": Command(
        "JOB",
        "end a job, an array or one of its tasks; the run keeps a checkpoint",
        "slurm.overview",
    ),
    "job": Command(
        "-- COMMAND",
        "inside a Slurm script: train or resume on the tasks of the job, over several starts if "
        "needed",
        "slurm.supervisor",
        stops_in_order=True,
    ),
    "replay": Command(
        "RUN",
        "evaluate one member of a run again, with the same result",
        "training.replay",
        stops_in_order=True,
    ),
    "doctor": Command("", "what this installation has, and what it lacks", "doctor"),
    "bench": Command(
        "SUBJECT",
        "speed of the engine on this machine; SUBJECT is one of: kernels, rollouts, scaling, "
        "profile, programs",
        "bench.command",
        stops_in_order=True,
    ),
}


def load_command(name: str) -> Callable[..., int]:
    """The function of a command: it takes the words after the name and the request to stop, and
    returns the exit status.
    """
    module = import_module(f"esengine.launch.{COMMANDS[name].module}")
    function: Callable[..., int] = getattr(module, f"{name}_command")
    return function
