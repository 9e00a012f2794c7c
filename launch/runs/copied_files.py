"""The files that a run begins from, copied to its folder, so that the run needs no file elsewhere.

``config.json`` names the copies without their folder, since a run may be moved.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from esengine.demonstrations import Demonstrations, save_demonstrations
from esengine.launch.settings.config import RunConfig, TrainSettings
from esengine.rewards import load_reward, save_reward
from esengine.storage.files import read_bytes, replace_lasting

_INIT_POLICY = "init_policy.safetensors"
_REWARDS = {"reward": "given_reward.safetensors", "potential": "given_potential.safetensors"}
_DEMONSTRATIONS = "demonstrations.npz"
_EXPERT = "expert.safetensors"
COPIES = (_INIT_POLICY, *_REWARDS.values(), _DEMONSTRATIONS, _EXPERT)
"""The names that copies may have."""


def copy_given(folder: Path, train: TrainSettings) -> dict[str, Path]:
    """Copy the policy that a run starts from, the reward and the potential that it trains on;
    returns the settings that name the copies.
    """
    copies: dict[str, Path] = {}
    if train.init_policy is not None:
        copies["init_policy"] = _copy(folder / _INIT_POLICY, train.init_policy)
    for name, copy in _REWARDS.items():
        source = getattr(train, name)
        if source is not None:
            save_reward(folder / copy, load_reward(source))
            copies[name] = Path(copy)
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
    """The configuration with the paths of the copies in the folder."""
    search: dict[str, Any] = {}
    if getattr(config.search, "demonstrations", ()):
        search["demonstrations"] = (str(folder / _DEMONSTRATIONS),)
    if Path(getattr(config.search, "expert", None) or "").name == _EXPERT:
        search["expert"] = str(folder / _EXPERT)

    files = {name: getattr(config.train, name) for name in ("init_policy", *_REWARDS)}
    train = {name: folder / file.name for name, file in files.items() if file is not None}
    return config.with_train(**train).with_search(**search)


def _copy(target: Path, source: Path) -> Path:
    """Copy a policy file, or that of a run directory; returns the name of the copy."""
    file = source / "policy.safetensors" if source.is_dir() else source
    replace_lasting(target, read_bytes(file))
    return Path(target.name)
