"""An exported policy as a torch module. This file needs only torch and safetensors, so that you
can copy it to where the policy is used.
"""

import json

import torch
from safetensors import safe_open


class ExportedPolicy(torch.nn.Module):
    """Maps observations (..., observation_dim) float32 to actions; ``network`` returns the raw
    outputs.
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
        layers: list[torch.nn.Module] = []
        while (weight := tensors.get(f"network.{len(layers)}.weight")) is not None:
            layers += [torch.nn.Linear(weight.shape[1], weight.shape[0]), torch.nn.Tanh()]
        self.network = torch.nn.Sequential(*layers[:-1])
        for name in tensors:
            if not name.startswith("network."):
                self.register_buffer(name, tensors[name])
        self.load_state_dict(tensors)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        scaled = (observations - self.observation_mean) * self.observation_inverse_std
        outputs = self.network(scaled.clamp(-self.observation_bound, self.observation_bound))
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

        return actions.reshape((*observations.shape[:-1], *self.head["shape"]))
