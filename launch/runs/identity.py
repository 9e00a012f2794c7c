"""The identity of a run: a digest of all settings that decide its result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from esengine.errors import UserError
from esengine.launch.runs.copied_files import COPIES
from esengine.launch.settings.groups import BudgetSettings, StartSettings
from esengine.launch.settings.methods import settings_of
from esengine.launch.settings.train_settings import TrainSettings

_FREE = {
    *(field.name for group in (BudgetSettings, StartSettings) for field in fields(group)),
    *("run_dir", "checkpoint_every", "keep_checkpoints", "keep_members"),
    "ranks",  # the name of `workers` in earlier versions
    *("scratch", "keep_failed_folders", "threads_per_rank", "isolate"),
}
"""Settings that change no bit of the result up to where a run has come."""


def identity(config: Any, trusted: bool = True, files: Mapping[str, str] | None = None) -> str:
    """Return the digest of a configuration as ``config.json`` holds it.

    Settings at their defaults do not count, so that a version with more settings gives the same
    digest. Files that are kept in the run count by their names and digests, wherever the run has
    moved to.

    Args:
        config: the configuration.
        trusted: whether to import the module of a custom strategy. Without it, the digest of such
            a run is "".
        files: the digests of the files that the run keeps, by their names.

    Raises:
        UserError: the configuration is damaged.
    """
    try:
        method = config["method"]
        if ":" in method and not trusted:
            return ""
        chosen = {
            "method": method,
            "train": _chosen(TrainSettings, config["train"]),
            "search": _chosen(settings_of(method), config["search"]),
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"config.json must be a run's settings, but: {error!r:.200}; restore it from a copy"
        ) from error
    if files:
        chosen["files"] = files
    text = json.dumps(chosen, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _chosen(kind: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that count and are not at their defaults."""
    defaults = {field.name: field.default for field in fields(kind)}
    found = {}
    for name, value in values.items():
        default = json.loads(json.dumps(defaults.get(name, MISSING), default=str))
        if name not in _FREE and value != default:
            found[name] = _without_folder(value)
    return found


def _without_folder(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_without_folder(part) for part in value]
    if isinstance(value, str) and Path(value).name in COPIES:
        return Path(value).name
    return value
