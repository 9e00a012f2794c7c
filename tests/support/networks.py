"""Modules that are policies, valid and invalid ones."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn


class Plain(nn.Module):
    """Two layers, and a buffer that scales the outputs."""

    def __init__(self, shape: tuple[int, ...], num_outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(math.prod(shape), 8), nn.ReLU(), nn.Linear(8, num_outputs)
        )
        self.register_buffer("scale", torch.tensor(0.5))

    def forward(self, observation: Any) -> Any:
        return self.scale * self.layers(observation)


class Memory(nn.Module):
    """A GRU cell."""

    def __init__(self, shape: tuple[int, ...], num_outputs: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(math.prod(shape), 6)
        self.head = nn.Linear(6, num_outputs)

    def forward(self, observation: Any, state: Any = None) -> tuple[Any, Any]:
        state = self.cell(observation.flatten(1), state)
        return self.head(state), state


class Counting(Plain):
    """A buffer that changes with every step, and is part of the outputs."""

    scale: torch.Tensor

    def forward(self, observation: Any) -> Any:
        self.scale += 1.0
        return super().forward(observation)


class NoParameters(nn.Module):
    def forward(self, observation: Any) -> Any:
        return observation


class TooWide(Plain):
    def __init__(self, shape: tuple[int, ...], num_outputs: int) -> None:
        super().__init__(shape, num_outputs + 1)


class Raising(Plain):
    def forward(self, observation: Any) -> Any:
        raise ArithmeticError("no way forward")


class Unmade(Plain):
    def __init__(self, shape: tuple[int, ...], num_outputs: int) -> None:
        raise ArithmeticError("no way to make it")


class Noisy(Plain):
    def forward(self, observation: Any) -> Any:
        return super().forward(observation) + torch.randn(1)


class Remembering(Plain):
    """Keeps its last observation where no episode resets it."""

    last = 0.0

    def forward(self, observation: Any) -> Any:
        outputs = super().forward(observation) + self.last
        self.last = float(observation.sum())
        return outputs


class NotFinite(Plain):
    def forward(self, observation: Any) -> Any:
        return super().forward(observation) / 0


class Stateless(Memory):
    def forward(self, observation: Any, state: Any = None) -> Any:
        return super().forward(observation, state)[0]


no_class = 3
