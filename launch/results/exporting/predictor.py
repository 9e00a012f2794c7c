"""An exported policy with the methods of Stable-Baselines3's models. This file needs only NumPy."""

import base64
import io
import json
from typing import Any

import numpy as np


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


_ACTIVATIONS: dict[str, Any] = {
    "identity": lambda x: x,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
}


class Predictor:
    """Acts: ``predict`` has the arguments and results of Stable-Baselines3's models, and
    ``policy(observation)`` returns the action alone.

    Args:
        packed: the policy, a base64 text of an npz file without pickle.
    """

    def __init__(self, packed: str) -> None:
        with np.load(io.BytesIO(base64.b64decode(packed)), allow_pickle=False) as file:
            self.arrays = {name: file[name] for name in file.files}
        self.head = json.loads(str(self.arrays.pop("head")))

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[Any, Any]:
        """Actions for one flat observation, or for a batch of them along the first axis, and the
        state after it; one without memory returns the state as it was given.

        A policy with memory begins where ``state`` is None or ``episode_start`` is true. It always
        takes the likeliest action.
        """
        observations = np.asarray(observation, np.float32)
        size = self.arrays["observation_mean"].size
        batch = observations.ndim > 1 and observations[0].size == size
        if not observations.size or not (batch or observations.size == size):
            raise ValueError(
                f"an observation must have {size} numbers, got an array of shape "
                f"{observations.shape}"
            )
        rows = observations.reshape(-1, size)
        if not self.head["state_size"]:
            actions, _ = self._actions(rows, None)
            return (actions if batch else actions[0]), state

        before = np.zeros((len(rows), self.head["state_size"]), np.float32)
        if state is not None:
            before = np.array(state, np.float32).reshape(before.shape)
        if episode_start is not None:
            before[np.broadcast_to(np.asarray(episode_start, bool), len(rows))] = 0
        actions, after = self._actions(rows, before)
        return (actions if batch else actions[0]), after

    def __call__(self, observation: Any) -> Any:
        return self.predict(observation)[0]

    def _actions(self, observations: Any, state: Any) -> Any:
        arrays = self.arrays
        bound = arrays["observation_bound"]
        scaled = (observations - arrays["observation_mean"]) * arrays["observation_inverse_std"]
        values = np.clip(scaled, -bound, bound)
        for number, (kind, activation) in enumerate(self.head["layers"]):
            if kind == "dense":
                values = values @ arrays[f"{number}.weight"].T + arrays[f"{number}.bias"]
            elif kind == "layer-norm":
                values = values - values.mean(1, keepdims=True)
                values = values / np.sqrt(values.var(1, keepdims=True) + 1e-5)
                values = values * arrays[f"{number}.weight"] + arrays[f"{number}.bias"]
            else:
                values, state = self._recur(number, kind, values, state)
            values = _ACTIVATIONS[activation](values)
        decoded = self._decode(values).astype(self.head["dtype"])
        return decoded.reshape(len(observations), *self.head["shape"]), state

    def _recur(self, number: int, kind: str, values: Any, state: Any) -> Any:
        """The outputs of a recurrent layer, and its state, in torch's order of gates."""
        arrays = self.arrays
        size = arrays[f"{number}.weight_hh"].shape[1]
        h = state[:, :size]
        x = values @ arrays[f"{number}.weight_ih"].T + arrays[f"{number}.bias_ih"]
        u = h @ arrays[f"{number}.weight_hh"].T + arrays[f"{number}.bias_hh"]
        if kind == "gru":
            r = _sigmoid(x[:, :size] + u[:, :size])
            z = _sigmoid(x[:, size : 2 * size] + u[:, size : 2 * size])
            c = np.tanh(x[:, 2 * size :] + r * u[:, 2 * size :])
            h = (1 - z) * c + z * h
            return h, h

        i, f, g, o = np.split(x + u, 4, axis=1)
        memory = _sigmoid(f) * state[:, size:] + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(memory)
        return h, np.concatenate([h, memory], axis=1)

    def _decode(self, outputs: Any) -> Any:
        kind = self.head["kind"]
        arrays = self.arrays
        if kind == "box":
            if count := self.head["components"]:  # of a mixture: the mean of the likeliest
                size = arrays["action_low"].size
                means = outputs[:, count : count + count * size].reshape(-1, count, size)
                outputs = means[np.arange(len(means)), outputs[:, :count].argmax(axis=1)]
            actions = arrays["action_center"] + arrays["action_reach"] * outputs
            return np.clip(actions, arrays["action_low"], arrays["action_high"])
        if kind == "multi-binary":
            return outputs > 0

        ends = np.cumsum(self.head["sizes"])[:-1]
        choices = [part.argmax(axis=1) for part in np.split(outputs, ends, axis=1)]
        return np.stack(choices, axis=1) + np.array(self.head["starts"])
