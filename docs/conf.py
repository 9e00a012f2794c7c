"""Sphinx's settings, and the directive ``help``, which shows what a command prints for --help."""

import contextlib
import io
import os

from docutils import nodes
from docutils.parsers.rst import Directive

from esengine import __version__
from esengine.launch.command_table import COMMANDS, load_command
from esengine.launch.settings.methods import METHODS
from esengine.ranks.signals import StopRequest

project = "esengine"
author = "the esengine authors"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
autodoc_typehints = "none"  # the signatures of the source are long
napoleon_use_ivar = True
html_theme = "furo"
html_title = "esengine"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
suppress_warnings = [
    "myst.xref_missing"
]  # README and files of the repository are linked from pages that GitHub shows, too
os.environ |= {"COLUMNS": "110", "NO_COLOR": "1", "TERM": "dumb"}


class Help(Directive):
    """One section a command, and one a method of train."""

    def run(self) -> list[nodes.Node]:
        calls = [("train", [method]) for method in METHODS]
        calls += [(name, []) for name in COMMANDS if name != "train"]
        return [_section(name, arguments) for name, arguments in calls]


def _section(name: str, arguments: list[str]) -> nodes.section:
    title = " ".join(["esengine", name, *arguments])
    section = nodes.section(ids=[nodes.make_id(title)])
    section += nodes.title(text=title)
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        asked = "--help-all" if arguments else "--help"
        load_command(name)([*arguments, asked], StopRequest())
    if not text.getvalue().strip():
        raise RuntimeError(f"{title} --help printed nothing")
    section += nodes.literal_block(text=text.getvalue(), language="text")
    return section


def setup(app: object) -> None:
    """Register the directive."""
    app.add_directive("help", Help)  # type: ignore[attr-defined]
