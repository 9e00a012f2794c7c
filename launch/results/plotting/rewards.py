"""Learned rewards as pictures: the reward over two coordinates of the observation, one panel per
action.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from esengine.errors import UserError
from esengine.launch.results.plotting.figures import panels
from esengine.policies.layer_kernels import OBSERVATION_CLIP
from esengine.rewards import LearnedReward, load_reward

_POINTS = 121  # on each axis
_MOST_PANELS = 8


def draw_rewards(paths: tuple[Path, ...], axes: tuple[int, int]) -> Figure:
    """Draw a panel per reward and action; all other coordinates are at the demonstrations' means.

    Args:
        paths: reward files or run directories.
        axes: coordinates of the observation on the horizontal and the vertical axis.

    Raises:
        UserError: a path holds no reward, or a reward has no such coordinate.
    """
    shown = []
    for path in paths:
        reward = load_reward(path)
        dim = reward.spec.observation_dim
        if not all(0 <= axis < dim for axis in axes) or axes[0] == axes[1]:
            raise UserError(
                f"--axes must be two of the coordinates 0 to {dim - 1} of {path}, got {axes[0]} "
                f"and {axes[1]}"
            )
        for name, choices in _actions(reward):
            shown.append((f"{path.name}, {name}" if name else path.name, reward, choices))

    figure, found = panels(title for title, _, _ in shown)
    for panel, (_, reward, choices) in zip(found, shown, strict=True):
        extents, values = over_slice(reward, axes, choices)
        image = panel.imshow(values, origin="lower", extent=extents, aspect="auto", cmap="viridis")
        panel.grid(False)
        panel.set_xlabel(f"observation {axes[0]}")
        panel.set_ylabel(f"observation {axes[1]}")
        figure.colorbar(image, ax=panel, label="reward of a step")
    return figure


def over_slice(
    reward: LearnedReward, axes: tuple[int, int], choices: NDArray[np.float64]
) -> tuple[tuple[float, float, float, float], NDArray[np.float64]]:
    """The reward over a slice of the observations, as far as its inputs are not clipped.

    Args:
        reward: the reward.
        axes: coordinates of the observation that vary, horizontally and vertically.
        choices: (num_choices,) the action, as the kernel `policies.act` writes it. A reward that
            sees transitions is shown where the observation stays the same.

    Returns:
        the extents left, right, bottom and top, and the reward at each point.
    """
    dim = reward.spec.observation_dim
    mean = reward.input_mean[:dim]
    reach = OBSERVATION_CLIP / reward.input_inverse_std[:dim]
    (left, bottom), (right, top) = (
        [float(mean[axis] + sign * reach[axis]) for axis in axes] for sign in (-1, 1)
    )

    across, up = np.meshgrid(np.linspace(left, right, _POINTS), np.linspace(bottom, top, _POINTS))
    observations = np.repeat(mean[None], across.size, axis=0)
    observations[:, axes[0]] = across.ravel()
    observations[:, axes[1]] = up.ravel()
    beside = reward.spec.beside(np.repeat(choices[None], across.size, axis=0), observations)
    values = reward.steps(observations, beside)
    return (left, right, bottom, top), values.reshape(across.shape)


def _actions(reward: LearnedReward) -> list[tuple[str, NDArray[np.float64]]]:
    """Names and choices of the actions to show: each option of a single choice, three values of a
    single number, else the middle of the space.
    """
    action = reward.spec.action
    if reward.spec.sees != "actions":
        return [("", np.zeros(len(action.sizes)))]
    if action.kind == "discrete":
        first = action.starts[0]
        options = range(min(action.sizes[0], _MOST_PANELS))
        return [(f"action {option + first}", np.array([float(option)])) for option in options]
    if action.kind == "box" and len(action.sizes) == 1:
        values = (action.center() + factor * action.reach() for factor in (-1, 0, 1))
        return [(f"action {value[0]:g}", value) for value in values]
    middle = action.center() if action.kind == "box" else np.zeros(len(action.sizes))

    return [("the middle of the actions", middle)]
