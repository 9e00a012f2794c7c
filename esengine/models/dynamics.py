"""A learned model as the dynamics that planners plan in.

The state is the observation. Each candidate is followed once by every network of the ensemble, with
noise from that network's distributions, and its return is the mean (trajectory sampling TS-infinity
of Chua et al. 2018). The noise is the same for all candidates, so that it favours none.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.environments import ObservationSpec
from esengine.errors import UserError
from esengine.models.ensemble import MIDDLE_LOG_STD, REACH_LOG_STD, LearnedModel
from esengine.noise.streams import fill_normals
from esengine.policies.forward_pass import forward, forward_reference
from esengine.policies.layer_kernels import fast_tanh
from esengine.policies.layers_apart import Network, network_of
from esengine.seeding import derive_key
from esengine.simulators.controls import Controls
from esengine.simulators.dynamics import Transitions

_NOISE_KEY = np.uint64(derive_key(0, "noise of a learned model"))


class LearnedDynamics(Controls):
    """The dynamics of an environment by a learned model.

    Args:
        env: the environment, for its spaces.
        model: its model, which `use` replaces.

    Raises:
        UserError: the environment has other spaces than the model.
    """

    _network: Network

    def __init__(self, env: gymnasium.Env[Any, Any], model: LearnedModel) -> None:
        super().__init__(env)
        self._space = env.observation_space
        self._observations = ObservationSpec.of(env.observation_space)
        spec = model.spec
        if (self._observations.dim, self._action) != (spec.observation_dim, spec.action):
            raise UserError(
                f"--model must be of this environment's spaces, got {spec.observation_dim} numbers "
                f"in an observation and {spec.action.kind} actions; use the model of a run in this "
                "environment"
            )
        self.smooth = False  # a network's kinks are not the environment's
        self.state_size = self.num_coordinates = spec.observation_dim
        self._noise = np.zeros((0, 0, 0), np.float32)
        self.use(model)

    def use(self, model: LearnedModel) -> None:
        """Predict by another model of the same architecture from now on."""
        self.model = model
        spec = model.spec
        self._parameters = model.parameters.reshape(spec.num_members, -1)
        self._network = network_of(spec.layers, model.input_mean, model.input_inverse_std)

    def state_of(
        self, env: gymnasium.Env[Any, Any], observation: Any = None
    ) -> NDArray[np.float64]:
        flat: NDArray[np.float64] = self._observations.flat(self._space, observation, np.float64)
        return flat

    def step(self, states: NDArray[np.float64], controls: NDArray[np.float64]) -> Transitions:
        """Return the means over the ensemble."""
        model = self.model
        n = model.spec.observation_dim
        inputs = model.spec.inputs(states, self.values(controls))
        scaling = (model.input_mean, model.input_inverse_std)
        outputs = np.mean(
            [
                forward_reference(row, model.spec.layers, inputs, *scaling)
                for row in self._parameters
            ],
            axis=0,
        ).astype(np.float64)
        predicted = model.target_mean + model.target_std * outputs[:, : n + 1]
        return Transitions(states + predicted[:, :n], predicted[:, n], outputs[:, -1] > 0)

    def returns(
        self, state: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        spec = self.model.spec
        shape = (spec.num_members, controls.shape[1], spec.num_targets)
        if self._noise.shape != shape:
            noise = np.empty(np.prod(shape), np.float32)
            fill_normals(_NOISE_KEY, 0, noise)
            self._noise = noise.reshape(shape)
        found: NDArray[np.float64] = follow_candidates(
            self._parameters,
            *self._network,
            self.model.target_mean,
            self.model.target_std,
            state.astype(np.float32),
            self.values(np.ascontiguousarray(controls)),
            self._action.kind == "discrete",
            self._noise,
        )
        return found


@kernel
def follow_candidates(
    parameters: NDArray[np.float32],
    table: NDArray[np.int64],
    mean: NDArray[np.float32],
    inverse_std: NDArray[np.float32],
    hidden: NDArray[np.float32],
    memory: NDArray[np.float32],
    target_mean: NDArray[np.float32],
    target_std: NDArray[np.float32],
    state: NDArray[np.float32],
    values: NDArray[np.float64],
    is_choice: bool,
    noise: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Return the mean return of each candidate over the ensemble, (num_candidates,) float64.

    Args:
        parameters: (num_members, num_parameters).
        table, mean, inverse_std, hidden, memory: from `network_of`.
        target_mean, target_std: (n + 1,) scaling of targets.
        state: (n,) observation to start from.
        values: (num_candidates, horizon, num_choices) numbers of a box, or the option from 0 on.
        is_choice: whether the values are options.
        noise: (num_members, horizon, n + 1) standard normals.
    """
    num_members = parameters.shape[0]
    num_candidates, horizon, num_choices = values.shape
    n = state.size
    inputs = np.empty(mean.size, np.float32)
    middle = np.float32(MIDDLE_LOG_STD)
    reach = np.float32(REACH_LOG_STD)
    returns = np.zeros(num_candidates)  # sums over the ensemble

    for candidate in range(num_candidates):
        for member in range(num_members):
            inputs[:n] = state
            for t in range(horizon):
                # The action
                if is_choice:
                    inputs[n:] = np.float32(0.0)
                    inputs[n + int(values[candidate, t, 0])] = np.float32(1.0)
                else:
                    for k in range(num_choices):
                        inputs[n + k] = np.float32(values[candidate, t, k])

                # One step of this network
                outputs, _ = forward(
                    parameters[member], table, inputs, mean, inverse_std, hidden, memory
                )
                for k in range(n + 1):
                    log_std = middle + reach * fast_tanh(outputs[n + 1 + k])
                    drawn = outputs[k] + np.exp(log_std) * noise[member, t, k]
                    predicted = target_mean[k] + target_std[k] * drawn
                    if k < n:
                        inputs[k] += predicted
                    else:
                        returns[candidate] += np.float64(predicted)
                if outputs[2 * n + 2] > 0:
                    break  # the episode ends

    for candidate in range(num_candidates):
        returns[candidate] /= num_members
    return returns


def follow_candidates_reference(
    model: LearnedModel,
    state: NDArray[np.float32],
    values: NDArray[np.float64],
    noise: NDArray[np.float32],
) -> NDArray[np.float64]:
    """NumPy twin of `follow_candidates`."""
    spec = model.spec
    n = spec.observation_dim
    rows = model.parameters.reshape(spec.num_members, -1)
    scaling = (model.input_mean, model.input_inverse_std)
    total = np.zeros(len(values))
    for member, row in enumerate(rows):
        states = np.tile(state, (len(values), 1))
        alive = np.ones(len(values), bool)
        for t in range(values.shape[1]):
            inputs = spec.inputs(states, values[:, t])
            outputs = forward_reference(row, spec.layers, inputs, *scaling)
            log_std = MIDDLE_LOG_STD + REACH_LOG_STD * np.tanh(outputs[:, n + 1 : -1])
            drawn = outputs[:, : n + 1] + np.exp(log_std) * noise[member, t]
            predicted = model.target_mean + model.target_std * drawn
            states = states + predicted[:, :n]
            total += np.where(alive, predicted[:, n], 0)
            alive &= outputs[:, -1] <= 0
    return total / spec.num_members
