"""The contents of a report: figures, a film, curves, failures, settings, starts, the command."""

from __future__ import annotations

import gc
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path

from esengine.checks import flag_name, positive, writable_file
from esengine.errors import ANY_TEXT, UserError, counted, put
from esengine.launch.results.plotting.command import PlotSettings, draw_runs
from esengine.launch.results.plotting.figures import save
from esengine.launch.results.plotting.runs import PlottedRun, setting_text
from esengine.launch.results.rendering import RenderSettings, render
from esengine.launch.results.reporting.page import (
    Section,
    block,
    folded,
    page,
    paragraph,
    picture,
    pictures,
    table,
)
from esengine.launch.results.reporting.set_report import report_set
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.runs.run_set import is_set
from esengine.launch.runs.run_state import state_of
from esengine.launch.settings.config import changed, command_of
from esengine.launch.settings.flags import parse_with_argument
from esengine.launch.terminal.panel import duration
from esengine.ranks import StopRequest
from esengine.storage.files import replace_lasting

_PICTURES = {
    "curves": "Learning curve",
    "archive": "Archive: the elite of every cell",
    "fitness": "Fitness of the population",
    "steps": "Step size and shape of the search",
    "spectrum": "Axes of the search distribution at the kept checkpoints",
    "profile": "Where the wall time goes",
}
_MOST_FAILURES = 20  # generations with failed members that are listed


@dataclass(frozen=True)
class ReportSettings:
    """Write a run as one self-contained page of HTML."""

    out: Path
    """The page to write: .html."""
    film: bool = True
    """Film the policy for the page."""
    seconds: float = 8.0
    """Longest film, in seconds."""
    trust_modules: bool = False
    """Import the module to which the policy's file refers, which runs its code."""

    def check(self) -> None:
        """Raises UserError for a file that no page can be written to."""
        writable_file(self, "out", ".html", ".htm")
        positive(self, "seconds", way_out="use 8, or --no-film")


def report_command(argv: list[str], stop: StopRequest) -> int:
    """Write the page; returns the exit status. Raises UserError for a folder that holds no run."""
    run, settings = parse_with_argument(
        ReportSettings, argv, "esengine report", "run", "The run directory, or the folder of a set."
    )
    settings.check()
    if is_set(run):
        report_set(run, settings.out)
    else:
        report(run, settings)
    put(settings.out)
    return 0


def report(path: Path, settings: ReportSettings) -> None:
    """Write the page of a run, which may still be running.

    Raises:
        UserError: the folder is no run.
    """
    settings.check()
    directory = RunDirectory.open(path)
    run = PlottedRun(path, directory.config(), directory.columns())

    with tempfile.TemporaryDirectory(prefix="esengine-") as folder:
        sections = [
            *_film(run, settings, Path(folder)),
            *_pictures(run, Path(folder)),
            _failures(run, directory),
            Section("Settings", _settings(run)),
            Section("Starts", _starts(directory)),
            Section("How to repeat it", _repeat(run, directory)),
        ]
    title = f"{run.config.method} on {run.task}, seed {run.config.train.seed}"
    text = page(title, state_of(directory), path.resolve().name, _figures(run, directory), sections)
    replace_lasting(settings.out, text.encode(errors=ANY_TEXT))


def _figures(run: PlottedRun, directory: RunDirectory) -> list[tuple[str, str]]:
    done = directory.done_if_whole() or {}
    train = run.config.train
    figures = []
    if done.get("final_return") is not None:
        what = f"return over {train.final_episodes} fresh episodes"
        figures.append((f"{done['final_return']:.2f}", what))
    elif train.is_function and run.columns.last is not None:
        best = float(run.series("evaluations", "best")[1][-1])
        figures.append((f"{best:.4g}", "lowest cost" if train.minimize else "best value"))

    if (row := run.columns.last) is not None:
        members = f" of {row['population_size']:,} members" if "population_size" in row else ""
        figures.append((f"{row['generation']:,}", f"generations{members}"))
        if row.get("qd_score") is not None:
            figures.append((f"{row['coverage']:.1%}", f"coverage, {row['elites']:,} elites"))
            figures.append((f"{row['qd_score']:.6g}", "QD score"))
        if row.get("env_steps"):
            figures.append((f"{row['env_steps']:,}", "environment steps"))
        figures.append((f"{row['evaluations']:,}", "evaluations"))
        machine = row["machine"]
        workers = counted(machine.get("workers", 1), "worker")
        figures.append((duration(machine.get("elapsed_s") or 0.0), f"on {workers}"))
    if done.get("reason"):
        figures.append(("ended", done["reason"]))
    return figures


def _pictures(run: PlottedRun, folder: Path) -> list[Section]:
    if run.columns.last is None:
        return [Section("Curves", paragraph("No generation has ended yet."))]
    run.clouds()  # and with them, in one pass, what the other pictures show
    shown = []
    for kind, caption in _PICTURES.items():
        file = folder / f"{kind}.png"
        try:
            save(draw_runs([run], PlotSettings(file, kind)), file)  # type: ignore[arg-type]
        except UserError:
            continue  # this method or this version has no such figures
        if run.config.train.minimize:
            caption = caption.replace("Fitness", "Cost")
        shown.append(picture(file, caption, "wide" if kind in ("steps", "profile") else "half"))
        gc.collect()  # a figure refers to itself, and what drew it to 30 MB
    return [Section("Curves", pictures(shown))]


def _film(run: PlottedRun, settings: ReportSettings, folder: Path) -> list[Section]:
    if run.config.train.env_id is None or not settings.film:
        return []
    file = folder / "film.gif"
    try:
        how = RenderSettings(
            file, seconds=settings.seconds, width=360, trust_modules=settings.trust_modules
        )
        film = render(run.path, how)
    except UserError as error:
        return [Section("Film", paragraph(f"Not filmed: {error}"))]

    episode = film.episodes[0]
    what = f"an episode of {episode.num_steps} steps"
    if film.cut[0]:
        what = f"the first {episode.num_steps} steps of an episode"
    caption = f"The policy, {what}: return {episode.episode_return:.2f}"
    return [Section("Film", picture(file, caption, "small"))]


def _failures(run: PlottedRun, directory: RunDirectory) -> Section:
    parts = []
    first: list[tuple[int, int]] = []
    num_members = num_generations = 0
    for generation, count in run.columns.counted("failed_members"):
        if len(first) < _MOST_FAILURES:
            first.append((generation, count))
        num_members += count
        num_generations += 1
    if first:
        failed = counted(num_members, "member")
        parts.append(paragraph(f"{failed} failed in {counted(num_generations, 'generation')}."))
        parts.append(table(("generation", "failed members"), first))
    if num_generations > len(first):
        more = f"... and {num_generations - len(first)} more generations, see metrics.jsonl."
        parts.append(paragraph(more))

    starts = directory.starts()
    for number, start in enumerate(starts, 1):
        which = f"The start of {start['time']} on {start['host']}"
        outcome = start.get("outcome")
        if outcome in ("failed", "refused"):
            parts.append(paragraph(f"{which} {outcome}."))
        elif outcome is None and number < len(starts):
            parts.append(paragraph(f"{which} was killed; a later one resumed the run."))

    nothing = "None: no member failed, and no start failed or was killed."
    return Section("Failures", "".join(parts) or paragraph(nothing))


def _settings(run: PlottedRun) -> str:
    values = vars(run.config.search) | vars(run.config.train)
    differing = changed(run.config.search) | changed(run.config.train)
    rows = [(flag_name(name), setting_text(value)) for name, value in values.items()]
    marked = [number for number, name in enumerate(values) if name in differing]
    headings = ("flag", "value")
    few = table(headings, [rows[number] for number in marked])
    all_settings = folded("All settings", table(headings, rows, marked))
    return paragraph("Changed from their defaults:") + few + all_settings


def _starts(directory: RunDirectory) -> str:
    starts = directory.starts()
    if not starts:
        return paragraph("Not started yet.")
    rows = [
        (
            *(start["time"], start["host"], start.get("workers", "")),
            *(start.get("processor") or "", start.get("job") or ""),
            start.get("outcome") or "none yet",
        )
        for start in starts
    ]
    return table(("time", "host", "workers", "processor", "job", "outcome"), rows)


def _repeat(run: PlottedRun, directory: RunDirectory) -> str:
    parts = [block(shlex.join(command_of(run.config)))]
    if run.config.train.init_policy is not None:
        parts.append(paragraph("The policy that it started from is in the run directory."))
    starts = directory.starts()
    if starts:
        versions = {name: text for name, text in starts[-1]["versions"].items() if text != "none"}
        python = f"Python {versions.pop('python', 'of an unknown version')}"
        commit = starts[-1].get("commit")
        which = f"{python}, commit {commit}" if commit else python
        text = f"With these versions ({which}), on processors of one type, on any number of ranks:"
        parts.append(paragraph(text))
        parts.append(block(" ".join(f"{name}=={text}" for name, text in versions.items())))

    return "".join(parts)
