"""``esengine demos inspect | convert``: check files of demonstrations, and rewrite them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from esengine.checks import one_of, writable_folder
from esengine.demonstrations import files as file_layout
from esengine.demonstrations import load_demonstrations, save_demonstrations
from esengine.launch.demonstrations.summary import describe_demonstrations, table
from esengine.launch.settings.flags import parse
from esengine.ranks import StopRequest
from esengine.storage.files import write_json


@dataclass(frozen=True)
class InspectSettings:
    """Check demonstrations, and print what they hold. The exit status is 2 if they are invalid."""

    files: Annotated[tuple[str, ...], tyro.conf.Positional]
    """npz files, folders of Minari datasets, or minari:ID; all of one environment."""
    json: Path | None = None
    """Write the same facts as JSON to this file."""
    trust_modules: bool = False
    """Import the modules to which files refer, which runs their code."""


@dataclass(frozen=True)
class ConvertSettings:
    """Convert demonstrations to the other format, join several files, or keep only some of them."""

    files: Annotated[tuple[str, ...], tyro.conf.Positional]
    """npz files, folders of Minari datasets, or minari:ID; all of one environment."""
    out: str
    """File to write: FILE.npz, or minari:ID for a new Minari dataset."""
    trajectories: int | None = None
    """Number of trajectories to keep, drawn by --seed; default all."""
    seed: int = 0
    """Seed that the kept trajectories are drawn with."""
    trust_modules: bool = False
    """Import the modules to which files refer, which runs their code."""


def command(argv: list[str], stop: StopRequest) -> int:
    """Inspect or convert; returns the exit status. Raises UserError for invalid demonstrations."""
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: esengine demos inspect | convert FILE ...\n\n{file_layout.__doc__}")
        return 0 if argv else 2
    one_of("the word after demos", argv[0], ("inspect", "convert"), "see esengine demos --help")
    if argv[0] == "inspect":
        _inspect(parse(InspectSettings, argv[1:], "esengine demos inspect"))
    else:
        _convert(parse(ConvertSettings, argv[1:], "esengine demos convert"))
    return 0


def _inspect(settings: InspectSettings) -> None:
    writable_folder(settings, "json")
    description = describe_demonstrations(
        load_demonstrations(settings.files, settings.trust_modules)
    )
    print(table(description))
    if settings.json is not None:
        write_json(settings.json, description)


def _convert(settings: ConvertSettings) -> None:
    demonstrations = load_demonstrations(settings.files, settings.trust_modules)
    if settings.trajectories is not None:
        demonstrations = demonstrations.choose(settings.trajectories, settings.seed)
    save_demonstrations(settings.out, demonstrations)
    print(
        f"{len(demonstrations.trajectories)} trajectories of {demonstrations.num_steps} steps in "
        f"{settings.out}"
    )
