"""An exported policy with the methods of Stable-Baselines3's models. This file needs only NumPy."""

import base64
import io
import json
from typing import Any

import numpy as np


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
        state as it was given.

        The policy has no state, and always takes the likeliest action.
        """
        observations = np.asarray(observation, np.float32)
        size = self.arrays["observation_mean"].size
        batch = observations.ndim > 1 and observations[0].size == size
        if not observations.size or not (batch or observations.size == size):
            raise ValueError(
                f"an observation must have {size} numbers, got an array of shape "
                f"{observations.shape}"
            )
        actions = self._actions(observations.reshape(-1, size))
        return (actions if batch else actions[0]), state

    def __call__(self, observation: Any) -> Any:
        return self.predict(observation)[0]

    def _actions(self, observations: Any) -> Any:
        arrays = self.arrays
        bound = arrays["observation_bound"]
        scaled = (observations - arrays["observation_mean"]) * arrays["observation_inverse_std"]
        values = np.clip(scaled, -bound, bound)
        for layer in range(self.head["layers"]):
            values = values @ arrays[f"weight{layer}"].T + arrays[f"bias{layer}"]
            if layer < self.head["layers"] - 1:
                values = np.tanh(values)
        decoded = self._decode(values).astype(self.head["dtype"])
        return decoded.reshape(len(observations), *self.head["shape"])

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
