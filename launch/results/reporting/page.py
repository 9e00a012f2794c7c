"""The page of a report: its style, and pieces of HTML made from plain text, which is escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from esengine.storage.files import read_bytes

# The browser runs no code and asks no server for anything, whatever names settings and hosts have.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light; --ink: #1d2733; --dim: #5c6b7a; --line: #dfe5eb; --blue: #0072b2; --back: #f6f8fa; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 64rem; color: var(--ink); background: white;
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .2rem; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .8rem; }
p { margin: .4rem 0; } .dim { color: var(--dim); }
.badge { display: inline-block; padding: .1rem .6rem; border-radius: 1rem; font-size: .8rem; font-weight: 600;
  vertical-align: middle; margin-left: .5rem; color: white; background: var(--dim); }
.badge.done { background: #009e73; } .badge.running, .badge.waiting { background: var(--blue); }
.badge.failed, .badge.killed, .badge.refused { background: #c0392b; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .8rem; margin: 1.4rem 0; }
.figures div { background: var(--back); border: 1px solid var(--line); border-radius: .5rem; padding: .7rem .9rem; }
.figures b { display: block; font-size: 1.3rem; font-variant-numeric: tabular-nums; }
.figures span { color: var(--dim); font-size: .82rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(28rem, 100%), 1fr)); gap: 1rem; }
figure { margin: 0; border: 1px solid var(--line); border-radius: .5rem; padding: .5rem; }
figure img { display: block; width: 100%; } figure.small { max-width: 26rem; } figure.wide { grid-column: 1 / -1; }
figcaption { color: var(--dim); font-size: .85rem; padding: .3rem .3rem 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .88rem; }
th, td { text-align: left; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--dim); font-weight: 600; } tr.changed td { font-weight: 650; }
code, pre { font: .86rem/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
pre { background: var(--back); border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem; white-space: pre-wrap;
  overflow-wrap: anywhere; }
details summary { cursor: pointer; color: var(--blue); }
"""


class Section(NamedTuple):
    """A heading and ready HTML below it."""

    heading: str
    body: str


def page(
    title: str,
    state: str,
    subtitle: str,
    figures: Iterable[tuple[str, str]],
    sections: Iterable[Section],
) -> str:
    """The whole document.

    Args:
        title: of the page and its heading.
        state: of the run, one word.
        subtitle: one line below the heading.
        figures: large numbers, each with a word for what it counts.
        sections: the rest, in order.
    """
    boxes = "".join(
        f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for value, name in figures
    )
    body = "".join(
        f"<section><h2>{escape(section.heading)}</h2>{section.body}</section>\n"
        for section in sections
    )
    badge = f'<span class="badge {escape(state)}">{escape(state)}</span>'
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style></head>
<body>
<header><h1>{escape(title)}{badge}</h1>
<p class="dim">{escape(subtitle)}</p></header>
<div class="figures">{boxes}</div>
{body}</body></html>
"""


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def block(text: str) -> str:
    """Preformatted text, such as commands."""
    return f"<pre>{escape(text)}</pre>"


def folded(summary: str, body: str) -> str:
    """HTML that a click on its summary shows."""
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def table(
    headings: Sequence[str], rows: Iterable[Sequence[object]], marked: Iterable[int] = ()
) -> str:
    """A table, in which the rows with ``marked`` numbers are bold."""
    bold = set(marked)
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    lines = []
    for number, row in enumerate(rows):
        cells = "".join(f"<td>{escape(str(cell))}</td>" for cell in row)
        lines.append(f"<tr class=changed>{cells}</tr>" if number in bold else f"<tr>{cells}</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def pictures(items: Iterable[str]) -> str:
    return f'<div class="pictures">{"".join(items)}</div>'


def picture(file: Path, caption: str, size: str = "half") -> str:
    """A PNG or GIF with its bytes in the page; its size is ``small``, ``half`` or ``wide``."""
    source = f"data:image/{file.suffix[1:]};base64,{base64.b64encode(read_bytes(file)).decode()}"
    shown = f'<img src="{source}" alt="{escape(caption)}">'
    return f'<figure class="{size}">{shown}<figcaption>{escape(caption)}</figcaption></figure>'
