"""The display of a run in a notebook: the panel of a terminal as one output that is updated."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from esengine.launch.runs.json_lines import Row
from esengine.launch.settings.config import RunConfig
from esengine.launch.terminal.panel import Display
from esengine.ranks import StopRequest
from esengine.ranks.launch_variables import is_launched

_UPDATE_S = 0.5
_WIDTH = 96  # characters
_FORMAT = '<pre style="line-height:1.2;font-family:Menlo,Consolas,monospace">{code}</pre>'


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def shows_progress() -> bool:
    """Whether standard output is watched: by a notebook or on a terminal, which mpirun also gives
    each of its ranks.
    """
    if is_launched() or sys.stdout is None:
        return False
    return is_notebook() or sys.stdout.isatty()


def display_for(config: RunConfig, path: Path, stop: StopRequest) -> Display:
    """The display of a run for a caller from Python: in a notebook, on a terminal, or quiet."""
    if is_notebook() and not config.train.quiet:
        return NotebookDisplay(config, path, stop)
    console = Console(highlight=False, force_terminal=False) if is_launched() else None
    return Display(config, path, console, stop)


class NotebookDisplay(Display):
    """Shows the rows of a run in the output of a cell."""

    def __init__(self, config: RunConfig, path: Path, stop: StopRequest) -> None:
        console = Console(file=io.StringIO(), width=_WIDTH, record=True, force_jupyter=False)
        super().__init__(config.with_train(quiet=True), path, console, stop)
        self._output: Any = None
        self._updated = 0.0

    def __enter__(self) -> NotebookDisplay:
        from IPython.display import display

        self._output = display(self._html(), display_id=True)
        return self

    def __exit__(self, *exception: object) -> None:
        self._update()

    def recall(self, row: Row) -> None:
        super().recall(row)
        if time.monotonic() - self._updated > _UPDATE_S:
            self._update()

    def compiling(self) -> None:
        super().compiling()
        self._update()

    def _update(self) -> None:
        self._updated = time.monotonic()
        if self._output is not None:
            self._output.update(self._html())

    def _html(self) -> Any:
        from IPython.display import HTML

        self.console.print(self)
        return HTML(self.console.export_html(inline_styles=True, code_format=_FORMAT))
