"""The report of a set of runs: a table, the best first, curves with bands over seeds, and the
commands.
"""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path

from esengine.errors import ANY_TEXT, UserError, counted
from esengine.launch.results.plotting.command import PlotSettings, plot
from esengine.launch.results.reporting.page import (
    Section,
    block,
    page,
    paragraph,
    picture,
    pictures,
    table,
)
from esengine.launch.runs.run_set import directories_of
from esengine.launch.settings.config import command_of
from esengine.launch.terminal.set_view import COLUMNS, lines_of_set
from esengine.storage.files import replace_lasting


def report_set(path: Path, out: Path) -> None:
    """Write the page of a set. Raises UserError for a folder that holds none."""
    directories = directories_of(path)
    lines = lines_of_set(directories)
    states = [line[1] for line in lines]
    commands = [shlex.join(command_of(directory.config())) for directory in directories]
    sections = [
        Section("Runs", table(COLUMNS, lines)),
        Section("Curves", _curves(path)),
        Section("How to repeat each run alone", block("\n".join(commands))),
    ]
    is_done = all(state == "done" for state in states)
    title = f"{counted(len(lines), 'run')} that shared workers"
    figures = [(str(states.count("done")), f"of {len(lines)} runs have finished")]
    text = page(title, "done" if is_done else "running", path.resolve().name, figures, sections)
    replace_lasting(out, text.encode(errors=ANY_TEXT))


def _curves(path: Path) -> str:
    with tempfile.TemporaryDirectory(prefix="esengine-") as folder:
        file = Path(folder) / "curves.png"
        try:
            plot((path,), PlotSettings(file))
        except UserError as error:
            return paragraph(f"No curves: {error}")
        return pictures([picture(file, "Learning curves, with bands over seeds", "wide")])
