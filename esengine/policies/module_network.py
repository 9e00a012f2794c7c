"""A user's ``torch.nn.Module`` as the network of a policy. Its parameters are views of the policy's
flat vector.

The class is called with the shape of an observation and the number of outputs. ``forward`` takes
float32 observations (batch, *shape) and returns outputs (batch, num_outputs); one that takes a
second argument is recurrent: it gets its last state, or None where an episode begins, and returns
outputs and state. This module imports torch.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from esengine.errors import UserError, counted
from esengine.user_code import described, named_callable

FLAG = "--policy"
_TRIED_STEPS = 3


class ModuleSize(NamedTuple):
    """What is known of a module once it was made and tried.

    Attributes:
        num_parameters: numbers in all of its parameters.
        is_recurrent: whether ``forward`` takes a state.
    """

    num_parameters: int
    is_recurrent: bool


class ModuleNetwork:
    """A module that acts on one observation at a time.

    Args:
        name: ``module:Class``, ``module:function``, or that of a Python object.
        shape: of an observation.
        num_outputs: of the network.
        seed: of its initial parameters.

    Attributes:
        module: in evaluation mode.
        size: its parameters, and whether it has a state.
        inputs: (num_observations,) float32, where it reads its scaled observation.

    Raises:
        UserError: there is no such class or function, or it cannot be made or has no parameters.
    """

    def __init__(self, name: str, shape: tuple[int, ...], num_outputs: int, seed: int = 0) -> None:
        torch.set_num_threads(1)  # the bits of a sum depend on the number of threads
        self.name = name
        self.num_outputs = num_outputs
        self.module = _made(name, shape, num_outputs, seed)
        self._parameters = [parameter for _, parameter in self.module.named_parameters()]
        self.size = ModuleSize(
            sum(parameter.numel() for parameter in self._parameters), _takes_state(self.module)
        )
        self._buffers = [(buffer, buffer.clone()) for buffer in self.module.buffers()]
        self._input = torch.zeros((1, *shape))
        self.inputs = self._input.view(-1).numpy()
        self._state: Any = None
        self.bound: NDArray[np.float32] | None = None

    def initial(self) -> NDArray[np.float32]:
        """The parameters as the class made them, (num_parameters,) float32."""
        parts = [parameter.detach().reshape(-1) for parameter in self._parameters]
        return np.array(torch.cat(parts).numpy(), np.float32)

    def begin(self, parameters: NDArray[np.float32]) -> None:
        """Begin an episode: no state, and buffers as they were made.

        Args:
            parameters: (num_parameters,) or longer, which the module's own become views of.
        """
        if self.bound is not parameters:
            flat = torch.from_numpy(parameters)
            offset = 0
            for parameter in self._parameters:
                end = offset + parameter.numel()
                parameter.data = flat[offset:end].view(parameter.shape)
                offset = end
            self.bound = parameters

        self._state = None
        for buffer, first in self._buffers:
            buffer.copy_(first)

    def outputs(self) -> NDArray[np.float32]:
        """The outputs for the observation in `inputs`, (num_outputs,), and one step of the state.

        Raises:
            UserError: they are no tensor of as many numbers.
        """
        with torch.inference_mode():
            if self.size.is_recurrent:
                outputs, self._state = _pair(self.name, self.module(self._input, self._state))
            else:
                outputs = self.module(self._input)
        if not isinstance(outputs, torch.Tensor) or outputs.numel() != self.num_outputs:
            got = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else described(outputs)
            raise UserError(
                f"{FLAG} {self.name} must return outputs of shape (batch, {self.num_outputs}), got "
                f"{got} for a batch of one; end it with torch.nn.Linear(..., {self.num_outputs})"
            )
        return np.asarray(outputs.reshape(-1).numpy(), np.float32)

    def sequence(self, flat: torch.Tensor, inputs: torch.Tensor, state: Any) -> tuple[Any, Any]:
        """The outputs as a function of other parameters, for gradients, and the state after them.

        Args:
            flat: (num_parameters,) or longer, in place of the module's own.
            inputs: (batch, num_observations); of a recurrent module (time, batch,
                num_observations).
            state: what this method returned for the steps before, or None.
        """
        named = {}
        offset = 0
        for name, parameter in self.module.named_parameters():
            end = offset + parameter.numel()
            named[name] = flat[offset:end].view(parameter.shape)
            offset = end

        shaped = inputs.view(*inputs.shape[:-1], *self._input.shape[1:])
        call = torch.func.functional_call
        if not self.size.is_recurrent:
            return call(self.module, named, (shaped,)), []

        outputs = []
        for step in shaped:
            output, state = _pair(self.name, call(self.module, named, (step, state)))
            outputs.append(output)
        return torch.stack(outputs), state


@cache
def module_size(name: str, shape: tuple[int, ...], num_outputs: int) -> ModuleSize:
    """Make a module once and try it on a few observations, twice; returns what is known then.

    Raises:
        UserError: it cannot be made, raises, returns outputs that do not fit or are not finite, or
            returns others for the same observations.
    """
    network = ModuleNetwork(name, shape, num_outputs)
    parameters = network.initial()
    observations = np.random.default_rng(0).standard_normal((_TRIED_STEPS, int(np.prod(shape))))

    def episode() -> NDArray[np.float32]:
        network.begin(parameters)
        outputs = []
        for row in observations:
            network.inputs[:] = row
            outputs.append(network.outputs())
        return np.array(outputs)

    before = _generators()
    try:
        first = episode()
        second = episode()
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{FLAG} {name} must take observations of shape {(1, *shape)}, but raised "
            f"{type(error).__name__}: {error}"
        ) from error
    if not np.isfinite(first).all():
        raise UserError(f"{FLAG} {name} must return finite outputs, got {first.ravel()[:4]}")
    if not np.array_equal(first, second):
        used = [key for key, state in _generators().items() if state != before[key]]
        reason = (
            f"it draws from {' and '.join(used)}"
            if used
            else "something in it is left from the steps before; return it as the state of "
            "forward(observation, state)"
        )
        raise UserError(
            f"{FLAG} {name} must return the same outputs for the same episode, got others the "
            f"second time: {reason}"
        )
    return network.size


def _made(name: str, shape: tuple[int, ...], num_outputs: int, seed: int) -> torch.nn.Module:
    kind = named_callable(FLAG, name, "mypackage.networks:Memory", "class")
    if isinstance(kind, torch.nn.Module):
        raise UserError(
            f"{FLAG} must be the class of a network, got one that was made, {name}; give the "
            f"class, or a function that makes it"
        )
    arguments: tuple[Any, ...] = ()
    try:
        inspect.signature(kind).bind()
    except TypeError:
        arguments = (shape, num_outputs)
    except ValueError:
        pass  # a builtin, which tells no signature

    try:
        with _seeded(seed):
            module: Any = kind(*arguments)
    except Exception as error:
        raise UserError(
            f"{FLAG} {name} must be made by {kind.__name__}(observation_shape, num_outputs), here "
            f"{kind.__name__}({shape}, {num_outputs}), but raised {type(error).__name__}: {error}"
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise UserError(
            f"{FLAG} must be a torch.nn.Module, or a function that makes one, got {name}, which "
            f"gave {described(module)}"
        )

    parameters = list(module.parameters())
    if not parameters:
        raise UserError(f"{FLAG} {name} must have parameters to search, got a module without any")
    if not all(parameter.is_floating_point() for parameter in parameters):
        raise UserError(
            f"{FLAG} {name} must have parameters that are floats, got others; cast them"
        )
    return module.float().cpu().eval().requires_grad_(False)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's generator within the ``with`` block, and leave it as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _takes_state(module: torch.nn.Module) -> bool:
    parameters = inspect.signature(module.forward).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return len([one for one in parameters if one.kind in positional]) > 1


def _pair(name: str, result: Any) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        raise UserError(
            f"{FLAG} {name} must return outputs and state, since its forward takes a state, got "
            f"{described(result)}; return both, or take {counted(1, 'argument')}"
        )
    return result


def _generators() -> dict[str, bytes]:
    """The states of the generators that belong to nobody."""
    numbers: Any = np.random.get_state()  # noqa: NPY002, it is looked at and not used
    return {
        "torch's generator": torch.get_rng_state().numpy().tobytes(),
        "Python's module random": repr(random.getstate()).encode(),
        "numpy.random": numbers[1].tobytes() + repr(numbers[2:]).encode(),
    }
