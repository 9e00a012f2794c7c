"""``esengine demos inspect | convert``: check files of demonstrations, and rewrite them."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from esengine.checks import belong_to, one_of, writable_folder
from esengine.demonstrations import (
    Demonstrations,
    files as file_layout,
    load_demonstrations,
    save_demonstrations,
)
from esengine.errors import put, shown
from esengine.launch.settings.flags import parse
from esengine.launch.settings.groups import environment_of
from esengine.launch.settings.help import Positional
from esengine.ranks import StopRequest
from esengine.storage.files import write_json


@dataclass(frozen=True)
class FilesSettings:
    """What is said of files of demonstrations."""

    env_id: str | None = None
    """Environment of the files, as EnvId or module:EnvId; default what they name. Arguments that
    are not given are theirs.
    """
    env_arg: tuple[str, ...] = ()
    """Arguments of the environment, each name=value; with --env-id."""
    env_wrapper: tuple[str, ...] = ()
    """Wrappers of gymnasium around the environment, each Name or Name={"argument": value}; with
    --env-id.
    """
    trust_modules: bool = False
    """Import the modules to which files refer, which runs their code."""

    def load(self, files: tuple[str, ...]) -> Demonstrations:
        """The demonstrations of the files. Raises UserError."""
        if self.env_id is None:
            belong_to(self, "--env-id", "none", "env_arg", "env_wrapper", way_out="name it, too")
            return load_demonstrations(files, self.trust_modules, needs_actions=False)
        environment = environment_of(self.env_id, self.env_arg, self.env_wrapper)
        return load_demonstrations(files, self.trust_modules, environment, needs_actions=False)


@dataclass(frozen=True)
class InspectSettings(FilesSettings):
    """Check demonstrations, and print what they hold. The exit status is 2 if they are invalid."""

    _: KW_ONLY
    files: Annotated[tuple[str, ...], Positional()]
    """npz files, folders of Minari datasets, or minari:ID; all of one environment."""
    json: Path | None = None
    """Write the same facts as JSON to this file."""


@dataclass(frozen=True)
class ConvertSettings(FilesSettings):
    """Convert demonstrations to the other format, join several files, or keep only some of them."""

    _: KW_ONLY
    files: Annotated[tuple[str, ...], Positional()]
    """npz files, folders of Minari datasets, or minari:ID; all of one environment."""
    out: str
    """File to write: FILE.npz, or minari:ID for a new Minari dataset."""
    trajectories: int | None = None
    """Number of trajectories to keep, drawn by --seed; default all."""
    seed: int = 0
    """Seed that the kept trajectories are drawn with."""


def demos_command(argv: list[str], stop: StopRequest) -> int:
    """Inspect or convert; returns the exit status. Raises UserError for invalid demonstrations."""
    if not argv or argv[0] in ("-h", "--help"):
        put(f"usage: esengine demos inspect | convert FILE ...\n\n{file_layout.__doc__}")
        return 0 if argv else 2
    one_of("the word after demos", argv[0], ("inspect", "convert"), "see esengine demos --help")
    if argv[0] == "inspect":
        _inspect(parse(InspectSettings, argv[1:], "esengine demos inspect"))
    else:
        _convert(parse(ConvertSettings, argv[1:], "esengine demos convert"))
    return 0


def _inspect(settings: InspectSettings) -> None:
    writable_folder(settings, "json")
    description = describe_demonstrations(settings.load(settings.files))
    put(table(description))
    if settings.json is not None:
        write_json(settings.json, description)


def _convert(settings: ConvertSettings) -> None:
    demonstrations = settings.load(settings.files)
    if settings.trajectories is not None:
        demonstrations = demonstrations.choose(settings.trajectories, settings.seed)
    save_demonstrations(settings.out, demonstrations)
    put(
        f"{len(demonstrations.trajectories)} trajectories of {demonstrations.num_steps} steps in "
        f"{settings.out}"
    )


def describe_demonstrations(demonstrations: Demonstrations) -> dict[str, Any]:
    """Statistics as JSON values, with ``warnings`` about what is allowed and yet unusual."""
    trajectories, returns = demonstrations.trajectories, demonstrations.returns
    lengths = np.array([trajectory.num_steps for trajectory in trajectories])
    labelled = np.concatenate([trajectory.labelled for trajectory in trajectories])
    seen = np.concatenate([trajectory.observations[:-1] for trajectory in trajectories])
    acted = np.concatenate([trajectory.targets[trajectory.labelled] for trajectory in trajectories])

    return {
        "environment": str(demonstrations.environment),
        "env_id": demonstrations.environment.env_id,
        "env_arguments": demonstrations.environment.arguments,
        "env_wrappers": demonstrations.environment.wrappers,
        "trajectories": len(trajectories),
        "steps": int(lengths.sum()),
        "labelled_share": float(labelled.mean()) if demonstrations.has_actions else 0.0,
        "terminated": sum(trajectory.terminated for trajectory in trajectories),
        "truncated": sum(trajectory.truncated for trajectory in trajectories),
        "return": _summary(returns),
        "length": _summary(lengths),
        "observations": [_summary(column) for column in seen.T],
        "actions": [_summary(column) for column in acted.T],
        "warnings": list(_warnings(demonstrations, seen, acted)),
    }


def table(description: dict[str, Any]) -> str:
    """The description for a terminal."""
    lines = [
        f"{shown(description['environment'])}: {description['trajectories']} trajectories, "
        f"{description['steps']} steps, "
        f"{description['terminated']} terminated, {description['truncated']} truncated, "
        f"{description['labelled_share']:.0%} of the steps labelled",
        "",
        f"  {'':<16}{'mean':>12}{'std':>12}{'least':>12}{'most':>12}",
    ]
    rows = [("return", description["return"]), ("length", description["length"])]
    for name in ("observations", "actions"):
        rows += [
            (f"{name[:-1]} {index}", summary) for index, summary in enumerate(description[name])
        ]
    lines += [
        f"  {name:<16}"
        + "".join(f"{summary[key]:>12.5g}" for key in ("mean", "std", "least", "most"))
        for name, summary in rows
    ]
    lines += (
        ["", *(f"  note: {warning}" for warning in description["warnings"])]
        if description["warnings"]
        else []
    )

    return "\n".join(lines)


def _summary(values: Any) -> dict[str, float]:
    return {
        "mean": float(np.mean(values)),
        "std": float(np.std(values)),
        "least": float(np.min(values)),
        "most": float(np.max(values)),
    }


def _warnings(demonstrations: Demonstrations, seen: Any, acted: Any) -> Any:
    action, trajectories = demonstrations.action, demonstrations.trajectories
    constant = np.flatnonzero(seen.std(axis=0) == 0).tolist()
    if constant:
        yield f"observations {constant} never vary"
    if not demonstrations.has_actions:
        yield "the actions are not known: gail --state-only learns from the observations"
    elif not acted.size:
        yield "no step is labelled"
    if action.kind == "box" and acted.size:
        at_bounds = np.mean(
            (acted <= np.array(action.low)) | (acted >= np.array(action.high)), axis=0
        )
        for index in np.flatnonzero(at_bounds > 0.5):
            yield f"action {index} lies on its bounds in {at_bounds[index]:.0%} of the steps"
    images = [trajectory.observations.tobytes() for trajectory in trajectories]
    if len(set(images)) < len(images):
        yield f"{len(images) - len(set(images))} trajectories repeat another one"
    unended = sum(
        not (trajectory.terminated or trajectory.truncated) for trajectory in trajectories
    )
    if unended:
        yield f"{unended} trajectories neither terminated nor were truncated"
