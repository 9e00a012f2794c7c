"""What a report tells: how the run stands, its curves, a film, every setting, every start,
failures, how to repeat it.
"""

from __future__ import annotations

import json
import shlex
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from esengine.checks import positive, writable_folder
from esengine.errors import UserError, counted
from esengine.launch.results.plotting.command import PlotSettings, plot
from esengine.launch.results.plotting.runs import PlottedRun
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
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.settings.as_command import changed, command_of
from esengine.launch.terminal.panel import duration
from esengine.launch.terminal.watch import state_of

_PICTURES = {
    "curves": "Learning curve",
    "fitness": "Fitness of the population",
    "steps": "Step size and shape of the search",
    "spectrum": "Axes of the search distribution at the kept checkpoints",
    "profile": "Where the wall time goes",
}
_MOST_FAILURES = 20  # generations with failed members that are listed


@dataclass(frozen=True)
class ReportSettings:
    """Write a run as one page of HTML that holds everything and asks no server for anything."""

    out: Path
    """The page to write: .html."""
    film: bool = True
    """Film the policy for the page."""
    seconds: float = 8.0
    """Length of the film at most."""
    trust_modules: bool = False
    """Import the module that the policy's file names."""

    def check(self) -> None:
        """Raises UserError for a file that no page can be written to."""
        if self.out.suffix.lower() not in (".html", ".htm"):
            raise UserError(
                f"--out must end in .html, got {self.out}; for example "
                f"{self.out.with_suffix('.html')}"
            )
        writable_folder(self, "out")
        positive(self, "seconds", way_out="use 8, or --no-film")


def report(path: Path, settings: ReportSettings) -> None:
    """Write the page of a run, which may still be going on.

    Raises:
        UserError: the folder is no run.
    """
    settings.check()
    directory = RunDirectory.open(path)
    run = PlottedRun(path, directory.config(), directory.metrics.rows())
    with tempfile.TemporaryDirectory(prefix="esengine-") as folder:
        sections = [
            *_film(run, settings, Path(folder)),
            *_pictures(run, Path(folder)),
            _failures(run, directory),
            Section("Settings", _settings(run)),
            Section("Starts", _starts(directory)),
            Section("How to repeat it", _repeat(run, directory)),
        ]
    config = run.config
    title = f"{config.method} on {run.task}, seed {config.train.seed}"
    text = page(
        title, state_of(directory), str(path.resolve().name), _figures(run, directory), sections
    )
    aside = settings.out.with_name(f".{settings.out.name}.aside")
    aside.write_text(text, encoding="utf-8")
    aside.rename(settings.out)


def _figures(run: PlottedRun, directory: RunDirectory) -> list[tuple[str, str]]:
    done, train = directory.done() or {}, run.config.train
    figures = []
    if done.get("final_return") is not None:
        figures.append(
            (f"{done['final_return']:.2f}", f"return over {train.final_episodes} fresh episodes")
        )
    elif train.objective is not None and run.rows:
        best = float(run.series("evaluations", "best")[1][-1])
        figures.append((f"{best:.4g}", "lowest cost" if train.minimize else "best value"))
    if run.rows:
        row = run.rows[-1]
        members = f" of {row['population_size']:,} members" if "population_size" in row else ""
        figures.append((f"{row['generation']:,}", f"generations{members}"))
        if row.get("env_steps"):
            figures.append((f"{row['env_steps']:,}", "environment steps"))
        figures.append((f"{row['evaluations']:,}", "evaluations"))
        machine = row["machine"]
        figures.append((duration(machine["elapsed_s"]), f"on {counted(machine['ranks'], 'rank')}"))
    if done.get("reason"):
        figures.append(("ended", done["reason"]))
    return figures


def _pictures(run: PlottedRun, folder: Path) -> list[Section]:
    if not run.rows:
        return [Section("Curves", paragraph("No generation has ended yet."))]
    shown = []
    for kind, caption in _PICTURES.items():
        file = folder / f"{kind}.png"
        try:
            plot((run.path,), PlotSettings(file, kind))  # type: ignore[arg-type]
        except UserError:
            continue  # this method or this version has no such figures
        shown.append(picture(file, caption, "wide" if kind in ("steps", "profile") else "half"))
    return [Section("Curves", pictures(shown))]


def _film(run: PlottedRun, settings: ReportSettings, folder: Path) -> list[Section]:
    if run.config.train.env_id is None or not settings.film:
        return []
    file = folder / "film.gif"
    try:
        film = render(
            run.path,
            RenderSettings(
                file, seconds=settings.seconds, width=360, trust_modules=settings.trust_modules
            ),
        )
    except UserError as error:
        return [Section("Film", paragraph(f"Not filmed: {error}"))]
    episode = film.episodes[0]
    what = (
        f"the first {episode.num_steps} steps of an episode"
        if film.cut[0]
        else f"an episode of {episode.num_steps} steps"
    )
    caption = f"The policy, {what}: return {episode.episode_return:.2f}"
    return [Section("Film", picture(file, caption, "small"))]


def _failures(run: PlottedRun, directory: RunDirectory) -> Section:
    failed = [
        (row["generation"], row["failed_members"]) for row in run.rows if row.get("failed_members")
    ]
    ended = [start for start in directory.starts() if start.get("outcome") in ("failed", "refused")]
    lost = [start for start in directory.starts()[:-1] if start.get("outcome") is None]
    parts = []
    if failed:
        members, generations = sum(count for _, count in failed), len(failed)
        parts.append(
            paragraph(
                f"{counted(members, 'member')} failed in {counted(generations, 'generation')}."
            )
        )
        parts.append(table(("generation", "failed members"), failed[:_MOST_FAILURES]))
        if len(failed) > _MOST_FAILURES:
            parts.append(
                paragraph(
                    f"... and {len(failed) - _MOST_FAILURES} more generations, see metrics.jsonl."
                )
            )
    for start in ended:
        parts.append(
            paragraph(f"The start of {start['time']} on {start['host']} {start['outcome']}.")
        )
    for start in lost:
        parts.append(
            paragraph(
                f"The start of {start['time']} on {start['host']} was killed; a later one went on."
            )
        )
    return Section(
        "Failures",
        "".join(parts) or paragraph("None: no member failed, and every start ended in order."),
    )


def _settings(run: PlottedRun) -> str:
    config = run.config
    rows: list[tuple[str, str]] = []
    marked: list[int] = []
    for settings in (config.search, config.train):
        differing = changed(settings)
        for field in fields(settings):  # type: ignore[arg-type]
            if field.name in differing:
                marked.append(len(rows))
            rows.append(
                (f"--{field.name.replace('_', '-')}", _shown(getattr(settings, field.name)))
            )
    bold = table(("flag", "value"), [rows[number] for number in marked])
    return (
        paragraph("Changed from their defaults:")
        + bold
        + folded("All settings", table(("flag", "value"), rows, marked))
    )


def _starts(directory: RunDirectory) -> str:
    starts = directory.starts()
    if not starts:
        return paragraph("Not started yet.")
    rows = [
        (
            start["time"],
            start["host"],
            start["ranks"],
            start.get("job") or "",
            start.get("outcome") or "no word yet",
        )
        for start in starts
    ]
    return table(("time", "host", "ranks", "job", "outcome"), rows)


def _repeat(run: PlottedRun, directory: RunDirectory) -> str:
    parts = [block(shlex.join(command_of(run.config)))]
    if run.config.train.init_policy is not None:
        parts.append(paragraph("The policy that it started from is in the run directory."))
    starts = directory.starts()
    if starts:
        versions: dict[str, Any] = starts[-1]["versions"]
        commit = starts[-1].get("commit")
        wanted = [
            f"{name}=={version}"
            for name, version in versions.items()
            if name != "python" and version != "none"
        ]
        told = f"Python {versions['python']}" + (f", commit {commit}" if commit else "")
        parts.append(
            paragraph(
                f"With these versions ({told}), on processors of one type, on any number of ranks:"
            )
        )
        parts.append(block(" ".join(wanted)))
    return "".join(parts)


def _shown(value: Any) -> str:
    if isinstance(value, tuple | list):
        return " ".join(map(str, value)) or "none"
    return (
        "none"
        if value is None
        else str(value)
        if isinstance(value, str | Path)
        else json.dumps(value)
    )
