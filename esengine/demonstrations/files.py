"""Files of demonstrations: a plain npz without pickle, or a Minari dataset. Both are read and
written.

An npz holds all trajectories one after another. Each of n trajectories has T steps, with
observations of size d and actions of size c:

    environment   JSON text with env_id, arguments and, optionally, wrappers
    lengths       (n,) int64 number of steps T of each trajectory
    observations  (sum of T + n, d), the observation after the last step included
    actions       (sum of T, c), the actions that were taken; without them, gail --state-only
                  learns from the observations alone
    labels        (sum of T, c), optional: the expert's actions; NaN where there is none
    rewards       (sum of T,)
    terminated    (n,) bool
    truncated     (n,) bool
    seeds         (n,) int64, optional: the seed of each episode, -1 if unknown
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.demonstrations.origin import Origin, without_module
from esengine.demonstrations.stacked_trajectories import stacked, unstacked
from esengine.demonstrations.trajectories import Demonstrations, Trajectory, check_together
from esengine.environments import ActionSpec, EnvironmentSpec, describe
from esengine.errors import UserError, listed
from esengine.storage.file_kinds import NPZ, ZIP, foreign_kind
from esengine.storage.files import parse_json, replace_lasting
from esengine.storage.numpy_files import npz_image, read_npz
from esengine.user_code import check_trusted, close

MINARI = "minari:"
"""Begins the name of a dataset in Minari's own folder."""

_NEEDED = (
    "lengths",
    "observations",
    "rewards",
    "terminated",
    "truncated",
    "environment",
)
_OPTIONAL = ("actions", "seeds", "labels")


def load_demonstrations(
    names: Sequence[str | Path],
    trust_modules: bool = False,
    environment: EnvironmentSpec | None = None,
    needs_actions: bool = True,
) -> Demonstrations:
    """Read files of demonstrations of one environment.

    Args:
        names: npz files, folders of Minari datasets, or ``minari:ID``.
        trust_modules: let an environment whose id names a module be imported.
        environment: where they are from, which is trusted. What it leaves out, such as arguments,
            is that of the files, and None is theirs.
        needs_actions: refuse files that hold observations alone.

    Raises:
        UserError: a file is missing, damaged, empty or a pickle, a trajectory is wrong, or
            environments differ.
    """
    if not names:
        raise UserError(
            "--demonstrations must name at least one file, got none; collect some with esengine "
            "collect"
        )

    trajectories: list[Trajectory] = []
    given, environment = environment, None

    for name in map(str, names):
        origin, here = _read(name)
        found = origin.resolved(name, given)
        if environment is None:
            environment = found
        elif without_module(found) != without_module(environment):
            raise UserError(
                f"{name}: demonstrations must be of one environment, got {found} beside "
                f"{environment} of {names[0]}; name files of one environment"
            )
        chosen = () if given is None else given.modules
        unnamed = (module for module in found.modules if module not in chosen)
        check_trusted(name, *unnamed, trusted=trust_modules)
        action = _check(name, origin, environment, here)
        trajectories += here
    assert environment is not None

    demonstrations = Demonstrations(environment, action, tuple(trajectories))
    if needs_actions and not demonstrations.has_actions:
        raise UserError(
            f"demonstrations must hold actions, got observations alone in {names[0]}; learn from "
            f"them by gail --state-only"
        )
    return demonstrations


def _check(
    name: str, origin: Origin, environment: EnvironmentSpec, trajectories: Sequence[Trajectory]
) -> ActionSpec:
    """The actions of the environment, once trajectories fit its spaces. Raises UserError."""
    origin.check_known(name, environment)
    try:
        env = environment.open()
    except UserError as error:
        raise UserError(f"{name}: its environment cannot be made: {error}") from error
    try:
        origin.check_spaces(name, env)
        observations, action = describe(env)
    finally:
        close(env)
    check_together(action, trajectories, name)
    dim = trajectories[0].observations.shape[1]
    if dim != observations.dim:
        raise UserError(
            f"{name}, trajectory 0: observations must have {observations.dim} numbers for "
            f"{environment.env_id}, got {dim}"
        )
    return action


def save_demonstrations(name: str | Path, demonstrations: Demonstrations) -> None:
    """Write a file of the kind that the name says: ``FILE.npz`` or ``minari:ID``.

    Raises:
        UserError: the name is neither, its folder cannot be written, or the dataset exists.
    """
    name = str(name)
    check_target(name)
    if name.startswith(MINARI):
        from esengine.demonstrations.minari_datasets import write_dataset

        if not demonstrations.has_actions:
            raise UserError(
                f"a Minari dataset must hold actions, got demonstrations without any for {name}; "
                f"write an npz"
            )
        write_dataset(name.removeprefix(MINARI), demonstrations)
        return
    arrays = stacked(demonstrations.trajectories)
    arrays["environment"] = np.array(json.dumps(demonstrations.environment.to_json()))
    replace_lasting(Path(name), npz_image(arrays))


def check_target(name: str) -> None:
    """Raises UserError for a name that demonstrations cannot be written to."""
    if name.startswith(MINARI):
        from esengine.demonstrations.minari_datasets import check_new

        check_new(name.removeprefix(MINARI))
        return
    path = Path(name)
    if path.suffix != ".npz":
        raise UserError(
            f"--out must end in .npz or be minari:ID, got {name}; for example demos.npz"
        )
    if not os.access(path.parent, os.W_OK):
        raise UserError(
            f"--out must lie in a folder that can be written, got {name}; make the folder first"
        )


def _read(name: str) -> tuple[Origin, list[Trajectory]]:
    if name.startswith(MINARI) or Path(name).is_dir():
        from esengine.demonstrations.minari_datasets import read_dataset

        return read_dataset(name.removeprefix(MINARI), Path(name) if Path(name).is_dir() else None)
    path = Path(name)
    if not path.exists():
        raise UserError(
            f"--demonstrations must name files that exist, got {name}; collect some with esengine "
            f"collect"
        )
    try:
        kind = foreign_kind(path) or "another kind of file"
        if kind not in (NPZ, ZIP):
            raise UserError(
                f"{name} must be an npz of demonstrations, got {kind} (a pickle is never read, "
                f"since reading it runs code); write an npz, see esengine demos --help, or name "
                f"the folder of a Minari dataset"
            )
        arrays = read_npz(path, (*_NEEDED, *_OPTIONAL))
    except UserError:
        raise
    except (OSError, ValueError, MemoryError) as error:
        raise UserError(f"{name} must be a whole npz of plain arrays, but: {error}") from error
    missing = [key for key in _NEEDED if key not in arrays]
    if missing:
        raise UserError(
            f"{name} must hold {listed(_NEEDED)}, lacks {listed(missing)}; esengine demos --help "
            f"shows the layout"
        )
    return Origin(_environment(name, arrays["environment"])), list(unstacked(arrays, name))


def _environment(name: str, text: NDArray[Any]) -> EnvironmentSpec:
    try:
        return EnvironmentSpec.from_json(parse_json(str(text)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{name}: environment must be a JSON text with env_id and arguments, but: {error!r}"
        ) from error
