"""Fitting an ensemble of probabilistic networks to transitions by gradients, all members at once.

The loss is the negative log likelihood of the targets, weighted by the predicted variance to the
power of 1/2 (beta-NLL: Seitzer et al. 2022, arXiv 2203.09168), so that means are also learned where
the predicted variance is large; and the cross entropy of termination. Each member sees its own
sample of the transitions with replacement (Chua et al. 2018).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.adam_state import adam_state, restore_adam
from esengine.algorithms.strategy import State
from esengine.demonstrations.trajectories import Trajectory
from esengine.environments import ActionSpec
from esengine.models import LearnedModel, ModelSpec
from esengine.models.ensemble import MIDDLE_LOG_STD, REACH_LOG_STD
from esengine.seeding import derive_key, generator

_LEAST_STD = 1e-6  # of an input or a target that varies


class EnsembleFit:
    """An ensemble that Adam fits. The result depends only on the seed and the transitions.

    Args:
        spec: the architecture.
        seed: the run's seed.
        learning_rate: step size of Adam.
        batch_size: transitions of each member per gradient step.
    """

    def __init__(self, spec: ModelSpec, seed: int, learning_rate: float, batch_size: int) -> None:
        import torch

        torch.set_num_threads(1)  # the bits of a sum depend on the number of threads
        self._spec = spec
        self._seed = seed
        self._batch_size = batch_size
        first = spec.initial_ensemble(derive_key(seed, "model"))
        self._flat = torch.tensor(first, requires_grad=True)
        self._adam = torch.optim.Adam([self._flat], lr=learning_rate, foreach=False)
        self._fits = 0
        self._scaling: list[NDArray[np.float32]] = []

    def fit(self, trajectories: list[Trajectory], num_steps: int) -> float:
        """Make gradient steps on all transitions; return the mean loss of the last tenth."""
        import torch

        inputs, targets, ended = transitions(self._spec, trajectories)
        mean, inverse_std = _scaling(inputs)
        target_mean, inverse_target_std = _scaling(targets)
        target_std = np.where(inverse_target_std > 0, 1 / np.maximum(inverse_target_std, 1e-30), 0)
        self._scaling = [mean, inverse_std, target_mean, target_std.astype(np.float32)]
        rows = torch.tensor(np.clip((inputs - mean) * inverse_std, -5, 5))
        wanted = torch.tensor((targets - target_mean) * inverse_target_std)
        ends = torch.tensor(ended)

        # Each member's own sample
        members = self._spec.num_members
        sampling = generator(derive_key(self._seed, "model samples"), self._fits)
        samples = sampling.integers(len(rows), size=(members, len(rows)))
        drawing = generator(derive_key(self._seed, "model batches"), self._fits)

        losses = []
        for _ in range(num_steps):
            picked = drawing.integers(len(rows), size=(members, self._batch_size))
            chosen = torch.tensor(np.take_along_axis(samples, picked, axis=1))
            loss = self._loss(rows[chosen], wanted[chosen], ends[chosen])
            self._adam.zero_grad()
            loss.backward()
            self._adam.step()
            losses.append(float(loss.detach()) / members)
        self._fits += 1
        return float(np.mean(losses[-max(1, num_steps // 10) :]))

    @property
    def is_fitted(self) -> bool:
        return self._fits > 0

    def model(self) -> LearnedModel:
        """The ensemble as it is now."""
        parameters = np.array(self._flat.detach().numpy(), np.float32).ravel()
        return LearnedModel(self._spec, parameters, *self._scaling)

    def _loss(self, inputs: Any, targets: Any, ended: Any) -> Any:
        """Return the sum of the members' mean losses."""
        import torch
        from torch.nn import functional

        # The networks, (num_members, batch, width)
        values = inputs
        offset = 0
        layers = self._spec.layers
        for number, layer in enumerate(layers):
            ((width, outputs),) = layer.shapes
            size = width * outputs
            weights = self._flat[:, offset : offset + size].reshape(-1, width, outputs)
            biases = self._flat[:, None, offset + size : offset + size + outputs]
            values = torch.baddbmm(biases, values, weights)
            offset += size + outputs
            if number < len(layers) - 1:
                values = functional.elu(values)

        # The losses
        count = self._spec.num_targets
        means, raw, logits = torch.split(values, [count, count, 1], dim=2)
        log_std = MIDDLE_LOG_STD + REACH_LOG_STD * torch.tanh(raw)
        nll = 0.5 * ((targets - means) * torch.exp(-log_std)) ** 2 + log_std
        weighted = (nll * torch.exp(log_std).detach()).mean(dim=2).mean(dim=1)
        ends = functional.binary_cross_entropy_with_logits(logits[:, :, 0], ended, reduction="none")
        return (weighted + ends.mean(dim=1)).sum()

    def state(self) -> State:
        """Parameters, scaling and Adam's moments, as plain arrays."""
        return {
            "fits": np.array(self._fits),
            "packed": self.model().packed() if self._fits else np.zeros(0, np.float32),
            **adam_state(self._adam, {"adam/": self._flat}),
        }

    def restore(self, state: State) -> None:
        """Become the fit that gave ``state``."""
        import torch

        self._fits = int(state["fits"])
        if self._fits:
            model = LearnedModel.unpacked(self._spec, state["packed"])
            self._scaling = list(model.arrays().values())[1:]
            with torch.no_grad():
                rows = model.parameters.reshape(self._spec.num_members, -1)
                self._flat.copy_(torch.tensor(rows))
        restore_adam(self._adam, {"adam/": self._flat}, state)


def transitions(
    spec: ModelSpec, trajectories: list[Trajectory]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return inputs (num_steps, num_inputs), targets (num_steps, num_targets), and 1 where the
    episode terminated (num_steps,).
    """
    inputs = []
    targets = []
    ended = []
    for one in trajectories:
        values = _values(spec.action, one.actions)
        inputs.append(spec.inputs(one.observations[:-1], values))
        moved = np.diff(one.observations, axis=0)
        targets.append(np.concatenate([moved, one.rewards[:, None]], axis=1))
        ends = np.zeros(one.num_steps, np.float32)
        ends[-1] = one.terminated
        ended.append(ends)
    return (
        np.concatenate(inputs),
        np.concatenate(targets).astype(np.float32),
        np.concatenate(ended),
    )


def _values(action: ActionSpec, actions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the numbers of a box within its bounds, or options from 0 on."""
    if action.kind == "box":
        return np.clip(actions, action.low, action.high)
    return action.options(actions).astype(np.float64)


def _scaling(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return means and inverse standard deviations; 0 for what does not vary."""
    exact = rows.astype(np.float64)
    mean = exact.mean(axis=0)
    std = exact.std(axis=0)
    varies = std > _LEAST_STD * np.maximum(1.0, np.abs(mean))
    inverse = np.where(varies, 1 / np.where(varies, std, 1.0), 0.0)
    return mean.astype(np.float32), inverse.astype(np.float32)
