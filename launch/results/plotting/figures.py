"""What all pictures share: size, colours, axes, and files that are equal for equal data."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, NullFormatter

from esengine.errors import UserError
from esengine.launch.runs.charts import make_readable
from esengine.storage.files import replacing

# Okabe and Ito's, which colour-blind people can tell apart
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MANY_COLOURS = (*COLOURS, "#F0E442", "#882255", "#44AA99", "#999933")  # and Tol's
_PANEL = (6.4, 4.2)  # inches
_MOST_PANELS = 16


def colours(number: int) -> tuple[str, ...]:
    """As many colours, all different: the usual ones, or samples of a map of colours."""
    if number <= len(_MANY_COLOURS):
        return _MANY_COLOURS[:number]
    samples = matplotlib.colormaps["turbo"](np.linspace(0.0, 1.0, number))
    return tuple(to_hex(sample) for sample in samples)


def panels(titles: Iterable[str]) -> tuple[Figure, list[Axes]]:
    """A figure with one panel per title, in rows of up to three.

    Raises:
        UserError: there are more panels than a picture can hold.
    """
    names = list(titles)
    if len(names) > _MOST_PANELS:
        raise UserError(
            f"a picture can hold at most {_MOST_PANELS} panels, got {len(names)}; name fewer runs"
        )

    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(_PANEL[0] * columns, _PANEL[1] * rows), layout="constrained")
    found = []
    for index, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.set_title(name, fontsize=11)
        axes.grid(alpha=0.25)
        found.append(axes)
    return figure, found


def label_x(axes: Axes, label: str) -> None:
    """Name the horizontal axis and abbreviate its large numbers, such as 250k and 3M."""
    axes.set_xlabel(label)
    if label != "hours":
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def logarithmic_y(axes: Axes) -> None:
    """Make the vertical axis logarithmic, with plain numbers if it spans less than two decades."""
    axes.set_yscale("log")
    low, high = axes.yaxis.get_data_interval()
    if high < 100 * low:
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())


def save(figure: Figure, path: Path) -> None:
    """Write the picture; equal figures give equal bytes."""
    make_readable(figure)
    dates: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    metadata = dates.get(path.suffix.lower(), {})
    with matplotlib.rc_context({"svg.hashsalt": "esengine"}), replacing(path) as aside:
        figure.savefig(aside, dpi=120, metadata=metadata)
