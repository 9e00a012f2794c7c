"""An exported policy as a torch module. This file needs only torch and safetensors, so that you
can copy it to where the policy is used.
"""

import json
from typing import Any

import torch
from safetensors import safe_open

_ACTIVATIONS = {
    "identity": torch.nn.Identity(),
    "tanh": torch.nn.Tanh(),
    "relu": torch.nn.ReLU(),
    "elu": torch.nn.ELU(),
}


class ExportedPolicy(torch.nn.Module):
    """Maps observations (..., observation_dim) float32 to actions. A policy with memory takes
    observations (batch, observation_dim) and its last state, or None where episodes begin, and
    returns actions and state.
    """

    observation_mean: torch.Tensor
    observation_inverse_std: torch.Tensor
    observation_bound: torch.Tensor
    action_center: torch.Tensor
    action_reach: torch.Tensor
    action_low: torch.Tensor
    action_high: torch.Tensor

    def __init__(self, path: str) -> None:
        super().__init__()
        with safe_open(path, "pt") as file:
            self.head = json.loads(file.metadata()["esengine"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        self.layers = torch.nn.ModuleList()
        for number, (kind, _) in enumerate(self.head["layers"]):
            name = f"layers.{number}.weight"
            if kind == "dense":
                self.layers.append(torch.nn.Linear(*tensors[name].shape[::-1]))
            elif kind == "layer-norm":
                self.layers.append(torch.nn.LayerNorm(tensors[name].shape[0]))
            else:
                cell = torch.nn.GRUCell if kind == "gru" else torch.nn.LSTMCell
                inputs = tensors[f"{name}_ih"].shape[1]
                self.layers.append(cell(inputs, tensors[f"{name}_hh"].shape[1]))
        for name in tensors:
            if not name.startswith("layers."):
                self.register_buffer(name, tensors[name])
        self.load_state_dict(tensors)

    def outputs(
        self, observations: torch.Tensor, state: torch.Tensor | None = None
    ) -> tuple[Any, Any]:
        """The raw outputs, and the state after them: h of a GRU, h and then c of an LSTM."""
        scaled = (observations - self.observation_mean) * self.observation_inverse_std
        values = scaled.clamp(-self.observation_bound, self.observation_bound)
        for (kind, activation), layer in zip(self.head["layers"], self.layers, strict=True):
            if kind == "gru":
                values = state = layer(values, state)
            elif kind == "lstm":
                pair = None if state is None else state.chunk(2, dim=1)
                values, memory = layer(values, pair)
                state = torch.cat([values, memory], dim=1)
            else:
                values = layer(values)
            values = _ACTIVATIONS[activation](values)
        return values, state

    def forward(self, observations: torch.Tensor, state: torch.Tensor | None = None) -> Any:
        outputs, state = self.outputs(observations, state)
        if self.head["kind"] == "box":
            if count := self.head["components"]:  # of a mixture: the mean of the likeliest
                flat = outputs[..., count : count + count * len(self.action_low)]
                means = flat.unflatten(-1, (count, -1))
                best = outputs[..., :count].argmax(-1, keepdim=True).unsqueeze(-1)
                outputs = means.take_along_dim(best, -2).squeeze(-2)
            reached = self.action_center + self.action_reach * outputs
            actions: torch.Tensor = reached.clamp(self.action_low, self.action_high)
        elif self.head["kind"] == "multi-binary":
            actions = (outputs > 0).long()
        else:
            choices = [part.argmax(-1) for part in outputs.split(self.head["sizes"], -1)]
            actions = torch.stack(choices, -1) + torch.tensor(self.head["starts"])

        actions = actions.reshape((*observations.shape[:-1], *self.head["shape"]))
        return (actions, state) if self.head["state_size"] else actions
