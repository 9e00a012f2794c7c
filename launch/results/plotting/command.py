"""``esengine plot``: its flags, and which picture they ask for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from matplotlib.figure import Figure

from esengine.checks import writable_file
from esengine.errors import UserError, put
from esengine.launch.results.plotting.archives import draw_archives
from esengine.launch.results.plotting.benchmarks import (
    draw_profile,
    draw_scaling,
    is_scaling,
    profile_of_file,
    profile_of_run,
    read_figures,
)
from esengine.launch.results.plotting.curves import BandKind, draw_curves
from esengine.launch.results.plotting.figures import save
from esengine.launch.results.plotting.rewards import draw_rewards
from esengine.launch.results.plotting.runs import PlottedRun, find_runs
from esengine.launch.results.plotting.search import draw_fitness, draw_spectrum, draw_steps
from esengine.launch.settings.flags import parse_with_argument
from esengine.ranks import StopRequest

Kind = Literal[
    "auto", "curves", "steps", "spectrum", "fitness", "archive", "scaling", "profile", "reward"
]


@dataclass(frozen=True)
class PlotSettings:
    """Draw runs, folders of runs, or files of bench --json.

    Runs that differ only in their seed share a line and a band.
    """

    out: Path
    """The picture to write: .png, .svg or .pdf."""
    kind: Kind = "auto"
    """Learning curves, step sizes, the spectrum of the search's axes, clouds of fitness, the elites
    of an archive, scaling, where the time goes, or a learned reward over two coordinates of the
    observation.
    """
    x: Literal["steps", "evaluations", "hours"] = "steps"
    """The horizontal axis; an objective has no steps, and counts evaluations."""
    y: str | None = None
    """What curves show, a number of metrics.jsonl; default the policy's return, or the best value
    so far.
    """
    axes: tuple[int, int] = (0, 1)
    """With --kind reward: the coordinates of the observation on the horizontal and the vertical
    axis.
    """
    band: BandKind = "range"
    """What a band over seeds shows: median with range or quartiles, or the mean with its 95 %
    bootstrap interval.
    """


def plot_command(argv: list[str], stop: StopRequest) -> int:
    """Write the picture; returns the exit status. Raises UserError for paths that hold nothing to
    plot.
    """
    about = "Run directories, folders of them, or files of bench --json."
    paths, settings = parse_with_argument(
        PlotSettings, argv, "esengine plot", "runs", about, of=tuple[Path, ...]
    )
    plot(paths, settings)
    put(f"picture in {settings.out}", flush=True)
    return 0


def plot(paths: tuple[Path, ...], settings: PlotSettings) -> None:
    """Draw and write the picture.

    Raises:
        UserError: a path holds nothing that the kind of picture can show.
    """
    if not paths:
        raise UserError(
            "plot needs run directories, folders of them or files of bench --json, got none; name "
            "one"
        )

    writable_file(settings, "out", ".png", ".svg", ".pdf")
    if settings.kind == "reward":
        save(draw_rewards(paths, settings.axes), settings.out)
        return
    files = {path.name: read_figures(path) for path in paths if path.suffix == ".json"}
    folders = tuple(path for path in paths if path.suffix != ".json")
    if files:
        save(_benchmark(files, folders, settings), settings.out)
    else:
        save(draw_runs(find_runs(folders), settings), settings.out)


def _benchmark(
    files: dict[str, list[dict[str, object]]], folders: tuple[Path, ...], settings: PlotSettings
) -> Figure:
    only_scaling = all(map(is_scaling, files.values()))
    if settings.kind == "scaling" or (settings.kind == "auto" and only_scaling):
        return draw_scaling(files)
    if settings.kind not in ("auto", "profile"):
        raise UserError(
            f"--kind must be scaling or profile for files of bench --json, got {settings.kind}; "
            f"leave it out"
        )
    profiles = {name: profile_of_file(name, figures) for name, figures in files.items()}
    profiles |= {run.path.name: profile_of_run(run) for run in find_runs(folders)}
    return draw_profile(profiles)


def draw_runs(runs: list[PlottedRun], settings: PlotSettings) -> Figure:
    """The picture of runs that the settings ask for. Raises UserError if the runs have no such
    figures.
    """
    x: str = settings.x
    if x == "steps" and any(run.config.train.is_function for run in runs):
        x = "evaluations"
    match settings.kind:
        case "steps":
            return draw_steps(runs, x)
        case "spectrum":
            return draw_spectrum(runs)
        case "fitness":
            return draw_fitness(runs, x)
        case "archive":
            return draw_archives(runs)
        case "profile":
            return draw_profile({run.path.name: profile_of_run(run) for run in runs})
        case "scaling":
            raise UserError(
                "--kind scaling needs a file of bench scaling --json, got run directories; "
                "measure one first"
            )
    return draw_curves(runs, settings.x, settings.y, settings.band)
