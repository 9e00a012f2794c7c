"""What all pictures share: size, colours, axes, and files that are the same for the same data."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from esengine.errors import UserError, listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)  # Okabe and Ito's, for all eyes
MANY_COLOURS = (
    *COLOURS,
    "#F0E442",
    "#882255",
    "#44AA99",
    "#999933",
)  # and Tol's, for the parts of one bar
_PANEL = (6.4, 4.2)  # inches
_MOST_PANELS = 16


def panels(titles: Iterable[str]) -> tuple[Figure, list[Axes]]:
    """A figure with one titled panel each, in rows of up to three.

    Raises:
        UserError: there are more panels than a picture can hold.
    """
    from matplotlib.figure import Figure

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
    """Name the horizontal axis; large numbers read 250k, 3M."""
    from matplotlib.ticker import EngFormatter

    axes.set_xlabel(label)
    if label != "hours":
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def logarithmic_y(axes: Axes) -> None:
    """Make the vertical axis logarithmic; if it spans less than two powers of ten it has plain
    numbers.
    """
    from matplotlib.ticker import MaxNLocator, NullFormatter

    axes.set_yscale("log")
    low, high = axes.yaxis.get_data_interval()
    if high < 100 * low:
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())


def check_file(path: Path) -> None:
    """Raises UserError for a file that no picture can be written to."""
    if path.suffix.lower() not in FORMATS:
        raise UserError(
            f"--out must end in {listed(FORMATS)}, got {path}; for example "
            f"{path.with_suffix('.png')}"
        )
    if not path.resolve().parent.is_dir():
        raise UserError(
            f"--out must lie in a folder that exists, got {path}; make the folder first"
        )


def save(figure: Figure, path: Path) -> None:
    """Write the picture; the same figure gives the same bytes."""
    import matplotlib

    metadata: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(
        path.suffix.lower(), {}
    )
    with matplotlib.rc_context({"svg.hashsalt": "esengine"}):
        figure.savefig(path, dpi=120, metadata=metadata)
