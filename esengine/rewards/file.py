"""Reward files: a learned reward in one safetensors file, its architecture as JSON in the header,
no code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from esengine.errors import UserError, listed
from esengine.policies.policy_file import (
    action_from,
    description_in,
    fields_from,
    is_count,
    is_list_of,
    require,
)
from esengine.rewards.network import FORMS, LearnedReward, RewardSpec
from esengine.storage.files import (
    JSON_BYTES,
    array_pieces,
    parse_arrays,
    read_bytes,
    replace_lasting,
)

FORMAT = 1
_KEY = "esengine-reward"
_MOST_LAYERS = 1000


def save_reward(path: Path, reward: LearnedReward) -> None:
    """Write the file aside, flush and rename it, so that a reader never sees half of it. Raises
    OSError.
    """
    described = {"format": FORMAT, "reward": reward.spec.as_json()}
    replace_lasting(path, array_pieces(reward.arrays(), {_KEY: json.dumps(described)}))


def load_reward(path: str | Path) -> LearnedReward:
    """Read a reward file, or the reward of a run directory.

    Raises:
        UserError: there is no such file, or it is damaged or of another kind.
    """
    path = Path(path)
    try:
        if path.is_dir():
            path = path / "reward.safetensors"
        if not path.exists():
            raise UserError(
                f"--reward must be a reward file or a run directory that has one, got {path}, "
                f"which does not exist"
            )
        image = read_bytes(path)
        described = description_in(image, _KEY)
        if not isinstance(described, dict) or described.get("format") != FORMAT:
            raise UserError(
                f"{path} must be a reward of format {FORMAT}; it is another file, or of a newer "
                f"version"
            )
        spec = _spec(described.get("reward"))
        arrays = parse_arrays(image, JSON_BYTES)
        expected = {
            "parameters": spec.num_parameters,
            "input_mean": spec.num_inputs,
            "input_inverse_std": spec.num_inputs,
        }
        if set(arrays) != set(expected):
            raise ValueError(
                f"its arrays must be {listed(sorted(expected))}, got {listed(sorted(arrays))[:200]}"
            )
        for name, size in expected.items():
            array = arrays[name]
            if array.shape != (size,) or array.dtype != np.float32:
                raise ValueError(
                    f"{name} must be float32 of shape ({size},), got {array.dtype} of shape "
                    f"{array.shape}"
                )
            if not np.isfinite(array).all():
                raise ValueError(f"{name} must be finite")
        if (arrays["input_mean"][-1], arrays["input_inverse_std"][-1]) != (0, 1):
            raise ValueError("the absorbing state's input must have mean 0 and scale 1")
        return LearnedReward(
            spec, arrays["parameters"], arrays["input_mean"], arrays["input_inverse_std"]
        )
    except UserError:
        raise
    except (ValueError, OSError, MemoryError) as error:
        raise UserError(f"{path} must be a whole reward file, but: {error}") from error


def _spec(data: Any) -> RewardSpec:
    """The architecture, every part of the type and the size that a kernel may rely on. Raises
    ValueError.
    """
    names = ("observation_dim", "action", "hidden_sizes", "form", "state_only")
    observation_dim, action, hidden_sizes, form, state_only = fields_from(data, *names)
    require(is_count(observation_dim), "observation_dim", observation_dim)
    require(
        is_list_of(hidden_sizes, is_count) and len(hidden_sizes) <= _MOST_LAYERS,
        "hidden_sizes",
        hidden_sizes,
    )
    require(isinstance(form, str) and form in FORMS, "form", form)
    require(isinstance(state_only, bool), "state_only", state_only)
    return RewardSpec(observation_dim, action_from(action), tuple(hidden_sizes), form, state_only)
