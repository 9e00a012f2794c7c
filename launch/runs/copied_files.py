"""The files that a run begins from, copied to its folder, so that the run needs no file elsewhere.

``config.json`` names the copies without their folder, since a run may be moved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from esengine.algorithms.evolution.cma_warm_start import save_distribution
from esengine.demonstrations import Demonstrations, save_demonstrations
from esengine.errors import UserError
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.train_settings import TrainSettings
from esengine.memory import memory_bytes
from esengine.models import load_model, save_model
from esengine.repertoires import load_archive, save_archive
from esengine.rewards import load_reward, save_reward
from esengine.storage.files import opened, read_bytes, replace_lasting
from esengine.storage.numpy_files import npy_image, read_npy

_INIT_POLICY = "init_policy.safetensors"
_REWARDS = {"reward": "given_reward.safetensors", "potential": "given_potential.safetensors"}
_DEMONSTRATIONS = "demonstrations.npz"
_EXPERT = "expert.safetensors"
_MODEL = "given_model.safetensors"
_ARCHIVE = "init_archive.safetensors"
_POINTS = "inject.npy"
_DISTRIBUTION = "warm_start.safetensors"
_VECTORS = {
    name: f"{name}.npy"
    for name in ("initial_mean", "lower_bound", "upper_bound", "variable_scales")
}
_MOST_NUMBERS = 1000  # of a vector that config.json holds as text
COPIES = (
    *(_INIT_POLICY, *_REWARDS.values(), _DEMONSTRATIONS, _EXPERT, _MODEL, _ARCHIVE),
    *(_POINTS, _DISTRIBUTION, *_VECTORS.values()),
)
"""The names that copies may have."""


def copy_given(folder: Path, train: TrainSettings) -> dict[str, Path]:
    """Copy the policy that a run starts from, the reward and the potential that it trains on, and
    write the long vectors of its search space; returns the settings that name the files.
    """
    copies: dict[str, Path] = {}
    if train.init_policy is not None:
        copies["init_policy"] = _copy(folder / _INIT_POLICY, train.init_policy)
    for name, copy in _REWARDS.items():
        source = getattr(train, name)
        if source is not None:
            save_reward(folder / copy, load_reward(source))
            copies[name] = Path(copy)
    for name, file in _VECTORS.items():
        numbers = getattr(train, name)
        if isinstance(numbers, tuple) and len(numbers) > _MOST_NUMBERS:
            replace_lasting(folder / file, npy_image(np.array(numbers, np.float64)))
            copies[name] = Path(file)
    return copies


def copy_starts(folder: Path, search: Any) -> dict[str, Any]:
    """Copy the points and the distribution that CMA-ES starts from, the model that a planner plans
    in, and the archive whose elites are tried; returns the settings of the method that name the
    copies.
    """
    copies: dict[str, Any] = {}
    if getattr(search, "inject", None) is not None:
        replace_lasting(folder / _POINTS, npy_image(read_npy(Path(search.inject))))
        copies["inject"] = _POINTS
    if getattr(search, "warm_start", None) is not None:
        save_distribution(folder / _DISTRIBUTION, search.warm_start)
        copies["warm_start"] = _DISTRIBUTION
    if getattr(search, "model", None) is not None:
        save_model(folder / _MODEL, load_model(search.model))
        copies["model"] = _MODEL
    if getattr(search, "init_archive", None) is not None:
        save_archive(folder / _ARCHIVE, load_archive(search.init_archive))
        copies["init_archive"] = Path(_ARCHIVE)
    return copies


def copy_demonstrations(
    folder: Path, demonstrations: Demonstrations | None, expert: Path | None
) -> dict[str, Any]:
    """Copy the demonstrations and the policy of the expert that a run learns from; returns the
    settings of the method that name the copies.
    """
    copies: dict[str, Any] = {}
    if demonstrations is not None:
        save_demonstrations(folder / _DEMONSTRATIONS, demonstrations)
        copies = {"demonstrations": (_DEMONSTRATIONS,), "trajectories": None}
    if expert is not None:
        copies["expert"] = str(_copy(folder / _EXPERT, expert))
    return copies


def with_copies(config: RunConfig, folder: Path) -> RunConfig:
    """The configuration with the paths of the copies in the folder, whatever paths it records: a
    run opens no file elsewhere.
    """
    search: dict[str, Any] = {}
    if getattr(config.search, "demonstrations", ()):
        search["demonstrations"] = (str(folder / _DEMONSTRATIONS),)
    kept = {
        "inject": _POINTS,
        "warm_start": _DISTRIBUTION,
        "expert": _EXPERT,
        "model": _MODEL,
    }
    for name, file in kept.items():
        value = getattr(config.search, name, None)
        if isinstance(value, str) and (":" not in value or Path(value).name == file):
            search[name] = str(folder / file)

    if getattr(config.search, "init_archive", None) is not None:
        search["init_archive"] = folder / _ARCHIVE

    files = {"init_policy": _INIT_POLICY, **_REWARDS, **_VECTORS}
    recorded = ((name, getattr(config.train, name)) for name in files)
    train = {name: folder / files[name] for name, value in recorded if isinstance(value, Path)}
    return config.with_train(**train).with_search(**search)


def digests_of_copies(folder: Path) -> dict[str, str]:
    """The SHA-256 of each copy in a run's folder, by its name. Raises OSError, ValueError."""
    found = {}
    for name in COPIES:
        if (folder / name).exists():
            with opened(folder / name, memory_bytes() // 4) as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def check_copies(folder: Path, recorded: Mapping[str, str]) -> None:
    """Raises UserError for a copy that is missing, or was replaced since the run was made."""
    try:
        found = digests_of_copies(folder)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} must hold the files that it began from, but: {error}") from error
    changed = [name for name, digest in recorded.items() if found.get(name) != digest]
    if changed:
        raise UserError(
            f"{folder} must hold the files that it began from, got another {changed[0]}, or none; "
            f"restore it from a copy"
        )


def _copy(target: Path, source: Path) -> Path:
    """Copy a policy file, or that of a run directory; returns the name of the copy."""
    file = source / "policy.safetensors" if source.is_dir() else source
    replace_lasting(target, read_bytes(file))
    return Path(target.name)
