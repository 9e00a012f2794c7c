"""Reward files: a learned reward in one safetensors file, with its architecture in the header."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

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
from esengine.rewards.network import FORMS, SIGHTS, LearnedReward, RewardSpec

_KEY = "esengine-reward"


def save_reward(path: Path, reward: LearnedReward) -> None:
    """Write a reward file, see `write_network`."""
    write_network(path, _KEY, {"reward": asdict(reward.spec)}, reward.arrays())


def load_reward(path: str | Path) -> LearnedReward:
    """Read a reward file, or the reward of a run directory.

    Raises:
        UserError: there is no such file, or it is damaged or of another kind.
    """
    return read_network(path, "reward", _KEY, _reward_from, "--reward")


def _reward_from(described: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> LearnedReward:
    spec = _spec_from(described.get("reward"))
    check_arrays(
        arrays,
        {
            "parameters": spec.num_parameters,
            "input_mean": spec.num_inputs,
            "input_inverse_std": spec.num_inputs,
        },
    )
    if (arrays["input_mean"][-1], arrays["input_inverse_std"][-1]) != (0, 1):
        raise ValueError("the absorbing state's input must have mean 0 and scale 1")
    return LearnedReward(
        spec, arrays["parameters"], arrays["input_mean"], arrays["input_inverse_std"]
    )


def _spec_from(data: Any) -> RewardSpec:
    if isinstance(data, dict) and isinstance(data.get("state_only"), bool):  # of earlier versions
        data = {**data, "sees": "states" if data["state_only"] else "actions"}
        del data["state_only"]
    names = ("observation_dim", "action", "hidden_sizes", "form", "sees")
    observation_dim, action, hidden_sizes, form, sees = fields_from(data, *names)
    require(is_count(observation_dim), "observation_dim", observation_dim)
    require(isinstance(form, str) and form in FORMS, "form", form)
    require(isinstance(sees, str) and sees in SIGHTS, "sees", sees)
    sizes = hidden_sizes_from(hidden_sizes)
    return RewardSpec(observation_dim, action_from(action), sizes, form, sees)
