"""Model files: a learned model in one safetensors file, with its architecture in the header."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from esengine.models.ensemble import LearnedModel, ModelSpec
from esengine.policies.network_file import (
    action_from,
    check_arrays,
    fields_from,
    hidden_sizes_from,
    is_count,
    read_network,
    require,
    write_network,
)

_KEY = "esengine-model"
_MOST_MEMBERS = 1000


def save_model(path: Path, model: LearnedModel) -> None:
    """Write a model file, see `write_network`."""
    write_network(path, _KEY, {"model": asdict(model.spec)}, model.arrays())


def load_model(path: str | Path) -> LearnedModel:
    """Read a model file, or the model of a run directory.

    Raises:
        UserError: there is no such file, or it is damaged or of another kind.
    """
    return read_network(path, "model", _KEY, _model_from, "--model")


def _model_from(described: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> LearnedModel:
    spec = _spec_from(described.get("model"))
    check_arrays(arrays, LearnedModel.sizes(spec))
    if not (arrays["target_std"] >= 0).all():
        raise ValueError("target_std must not be negative")
    return LearnedModel(spec, **arrays)


def _spec_from(data: Any) -> ModelSpec:
    names = ("observation_dim", "action", "hidden_sizes", "num_members")
    observation_dim, action, hidden_sizes, num_members = fields_from(data, *names)
    require(is_count(observation_dim), "observation_dim", observation_dim)
    require(is_count(num_members) and num_members <= _MOST_MEMBERS, "num_members", num_members)
    spec = action_from(action)
    require(spec.kind in ("box", "discrete"), "action", spec.kind)
    return ModelSpec(observation_dim, spec, hidden_sizes_from(hidden_sizes), num_members)
