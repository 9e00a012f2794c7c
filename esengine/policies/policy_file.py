"""Policy files: parameters, observation scaling and architecture in one safetensors file."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from esengine.environments import EnvironmentSpec, ObservationSpec
from esengine.environments.wrappers import wrappers_from
from esengine.errors import UserError
from esengine.policies.network import Activation, Actor, Memory, PolicySpec
from esengine.policies.network_file import (
    action_from,
    check_arrays,
    fields_from,
    hidden_sizes_from,
    is_count,
    is_list_of,
    read_network,
    require,
    write_network,
)
from esengine.user_code import are_remembered, is_given, is_object

_KEY = "esengine"
_LATER: dict[str, Any] = {
    "memory": "none",
    "activation": "tanh",
    "layer_norm": False,
    "module": "",
    "observation_shape": (),
    "convolutions": (),
    "picture_offset": 0,
}
"""Parts of an architecture that version 1.0 did not have, with what it had in their place."""


@dataclass(repr=False)
class Policy:
    """A trained policy: ``policy.act(observation)`` gives an action for its environment.

    Attributes:
        spec: the architecture.
        parameters: (num_parameters,) float32.
        observation_mean, observation_inverse_std: (observation_dim,) float32 scaling.
        environment: where it was trained.
        max_episode_steps: where its episodes were cut, or None.
        fresh_env: whether each of its episodes had a new environment.
    """

    spec: PolicySpec
    parameters: NDArray[np.float32]
    observation_mean: NDArray[np.float32]
    observation_inverse_std: NDArray[np.float32]
    environment: EnvironmentSpec
    max_episode_steps: int | None = None
    fresh_env: bool = False
    _space: Any = field(default=None, init=False, repr=False, compare=False)
    _acting: tuple[Actor, int] | None = field(default=None, init=False, repr=False, compare=False)

    def __repr__(self) -> str:
        return (
            f"Policy({self.environment.env_id}, {self.spec.observation_dim} observations, "
            f"{self.parameters.size:,} parameters)"
        )

    def reset(self) -> None:
        """Begin a new episode: forget what a recurrent policy has seen, and count steps from 0."""
        self._acting = None

    @property
    def modules(self) -> tuple[str, ...]:
        """The names of user-supplied code that evaluating the policy imports, and of files that it
        opens.
        """
        own = (self.spec.module,) if self.spec.module else ()
        return (*own, *self.environment.modules)

    def actor(self) -> Actor:
        """A fast actor with its own working memory.

        Raises:
            UserError: the policy is a module whose code is not imported here.
        """
        module = self.spec.module
        name = module.partition(":")[0]
        if name and not is_object(module) and name not in sys.modules:
            raise UserError(
                f"a policy of {module} needs its code, which is not imported here; "
                f"import {name} first if you trust its author"
            )
        return Actor(
            self.spec, self.parameters, self.observation_mean, self.observation_inverse_std
        )

    def act(self, observation: Any, key: int = 0, step: int | None = None) -> Any:
        """The action for one observation of the environment.

        Args:
            observation: as the environment returns it; flattened if it is no array of numbers.
            key: stream of sampled actions, see `Actor.act`.
            step: number of the step in its episode, which begins at 0; by default the number of
                calls since `reset`. Changes of the policy's arrays count from the next `reset` on.

        Raises:
            UserError: the observation does not fit the policy.
        """
        flat = self._flat(observation)
        if flat.size != self.spec.observation_dim:
            raise UserError(
                f"an observation must have {self.spec.observation_dim} numbers for this policy, "
                f"got {flat.size}"
            )
        actor, count = self._acting or (self.actor(), 0)
        number = count if step is None else step
        self._acting = (actor, number + 1)
        return actor.act(np.ascontiguousarray(flat), key, number)

    def _flat(self, observation: Any) -> NDArray[np.float32]:
        if isinstance(observation, np.ndarray):
            if observation.size == self.spec.observation_dim:
                return np.asarray(observation, np.float32).ravel()
        elif isinstance(observation, list) and np.size(observation) == self.spec.observation_dim:
            return np.asarray(observation, np.float32).ravel()

        if self._space is None:
            env_id = self.environment.env_id
            imported = env_id.partition(":")[0] in sys.modules
            for name in self.environment.modules:
                if not (is_given(name) or are_remembered(name) or (name == env_id and imported)):
                    raise UserError(
                        f"flatten the observation for {env_id}, since {name} is not imported or "
                        f"opened here; import its module first if you trust its author, or use "
                        f"gymnasium.spaces.flatten"
                    )
            with self.environment.opened() as env:
                self._space = env.observation_space

        return ObservationSpec.of(self._space).flat(self._space, observation)


def save_policy(path: Path, policy: Policy) -> None:
    """Write a policy file, see `write_network`."""
    arrays = {
        "parameters": policy.parameters,
        "observation_mean": policy.observation_mean,
        "observation_inverse_std": policy.observation_inverse_std,
    }
    write_network(path, _KEY, described_policy(policy), arrays)


def described_policy(policy: Policy) -> dict[str, Any]:
    """All of a policy but its arrays, as files hold it."""
    return {
        "policy": _described(policy.spec),
        "env_id": policy.environment.env_id,
        "env_arguments": policy.environment.arguments,
        **({"env_wrappers": policy.environment.wrappers} if policy.environment.wrappers else {}),
        "max_episode_steps": policy.max_episode_steps,
        "fresh_env": policy.fresh_env,
    }


def load_policy(path: str | Path) -> Policy:
    """Read a policy file, or the policy of a run directory.

    Raises:
        UserError: there is no such file, or it is damaged or of another kind.
    """
    return read_network(path, "policy", _KEY, policy_from, "a policy")


def policy_from(described: Any, arrays: dict[str, NDArray[Any]]) -> Policy:
    """The policy of a description and its arrays. Raises ValueError if they are of none."""
    if not isinstance(described, dict):
        raise ValueError(f"its policy must be a table, got {described!r:.80}")
    spec = _spec_from(described.get("policy"))
    check_arrays(
        arrays,
        {
            # the size of a user's module is known where its code is imported
            "parameters": arrays["parameters"].size if spec.module else spec.num_parameters,
            "observation_mean": spec.observation_dim,
            "observation_inverse_std": spec.observation_dim,
        },
    )

    env_id = described.get("env_id")
    arguments = described.get("env_arguments")
    require(isinstance(env_id, str) and 0 < len(env_id) < 1000, "env_id", env_id)
    require(isinstance(arguments, dict), "env_arguments", arguments)
    wrappers = wrappers_from(described.get("env_wrappers", []))
    environment = EnvironmentSpec(str(env_id), dict(arguments or {}), wrappers)

    steps = described.get("max_episode_steps")
    fresh_env = described.get("fresh_env")
    require(steps is None or is_count(steps), "max_episode_steps", steps)
    require(isinstance(fresh_env, bool), "fresh_env", fresh_env)

    return Policy(
        spec,
        **arrays,
        environment=environment,
        max_episode_steps=steps,
        fresh_env=bool(fresh_env),
    )


def _described(spec: PolicySpec) -> dict[str, Any]:
    """An architecture as files hold it: what older versions do not know only where it is used."""
    described = asdict(spec)
    return {
        name: value
        for name, value in described.items()
        if name not in _LATER or value != _LATER[name]
    }


def _spec_from(data: Any) -> PolicySpec:
    if not isinstance(data, dict):
        raise ValueError(f"its policy must be a table, got {data!r:.80}")
    names = ("observation_dim", "hidden_sizes", "sampled", "components", "action", *_LATER)
    values = fields_from(_LATER | data, *names)
    observation_dim, hidden_sizes, sampled, components, action = values[:5]
    memory, activation, layer_norm, module, shape, convolutions, picture_offset = values[5:]
    require(is_count(observation_dim), "observation_dim", observation_dim)
    require(isinstance(sampled, bool), "sampled", sampled)
    head = action_from(action)
    is_mixture = is_count(components) and head.kind == "box"
    require(is_mixture or (type(components) is int and components == 0), "components", components)
    sizes = hidden_sizes_from(hidden_sizes)
    require(memory in get_args(Memory) and (memory == "none" or sizes != ()), "memory", memory)
    require(activation in get_args(Activation), "activation", activation)
    require(isinstance(layer_norm, bool), "layer_norm", layer_norm)
    require(isinstance(module, str) and (not module or ":" in module), "module", module)
    is_shape = is_list_of(list(shape), is_count)
    beside = observation_dim - math.prod(shape) if shape and is_shape else 0
    fits = beside == 0 or (beside > 0 and bool(convolutions))
    require(not shape or (is_shape and fits), "observation_shape", shape)
    is_place = type(picture_offset) is int and 0 <= picture_offset <= beside
    require(is_place, "picture_offset", picture_offset)
    for each in convolutions:
        require(is_list_of(each, is_count) and len(each) == 3, "convolutions", each)
    return PolicySpec(
        observation_dim,
        head,
        sizes,
        sampled,
        components,
        memory,
        activation,
        layer_norm,
        module,
        tuple(shape),
        tuple((one, two, three) for one, two, three in convolutions),
        picture_offset,
    )
