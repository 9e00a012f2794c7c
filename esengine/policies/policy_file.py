"""Policy files: parameters, observation scaling and architecture in one safetensors file, no
code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.environments.spaces import ActionSpec, ObservationSpec
from esengine.environments.spec import EnvironmentSpec
from esengine.errors import UserError, listed
from esengine.policies.network import Actor, PolicySpec
from esengine.storage.files import (
    JSON_BYTES,
    array_pieces,
    parse_arrays,
    parse_json,
    read_bytes,
    replace_lasting,
)

FORMAT = 1
_KEY = "esengine"
_ARRAYS = ("observation_inverse_std", "observation_mean", "parameters")
_DTYPES = (
    "float16",
    "float32",
    "float64",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)
_MOST_LAYERS = 1000


@dataclass
class Policy:
    """A trained policy: ``policy.act(observation)`` gives an action for its environment.

    Attributes:
        spec: the architecture.
        parameters: (num_parameters,) float32.
        observation_mean, observation_inverse_std: (observation_dim,) float32 scaling.
        environment: where it was trained.
        max_episode_steps: where its episodes were cut, or None.
        fresh_env: whether each of its episodes had an environment of its own.
    """

    spec: PolicySpec
    parameters: NDArray[np.float32]
    observation_mean: NDArray[np.float32]
    observation_inverse_std: NDArray[np.float32]
    environment: EnvironmentSpec
    max_episode_steps: int | None = None
    fresh_env: bool = False
    _space: Any = field(default=None, init=False, repr=False, compare=False)

    def actor(self) -> Actor:
        """A fast actor with working memory of its own."""
        return Actor(
            self.spec, self.parameters, self.observation_mean, self.observation_inverse_std
        )

    def act(self, observation: Any, key: int = 0, step: int = 0) -> Any:
        """The action for one observation of the environment, flattened first if it is no array of
        numbers.

        Args:
            observation: as the environment gives it.
            key, step: of a sampled action, see `Actor.act`; count ``step`` up within an episode.

        Raises:
            UserError: the observation does not fit the policy.
        """
        flat = self._flat(observation)
        if flat.size != self.spec.observation_dim:
            raise UserError(
                f"an observation must have {self.spec.observation_dim} numbers for this policy, "
                f"got {flat.size}"
            )
        return self.actor().act(np.ascontiguousarray(flat), key, step)

    def _flat(self, observation: Any) -> NDArray[np.float32]:
        if (
            isinstance(observation, np.ndarray | list)
            and np.size(observation) == self.spec.observation_dim
        ):
            return np.asarray(observation, np.float32).ravel()

        if self._space is None:
            if self.environment.modules:
                raise UserError(
                    f"flatten the observation for {self.environment.env_id}: its module is not "
                    f"imported here"
                )
            env = self.environment.make()
            self._space = env.observation_space
            env.close()

        return ObservationSpec.of(self._space).flat(self._space, observation)


def save_policy(path: Path, policy: Policy) -> None:
    """Write the file aside, flush and rename it, so that a reader never sees half of it. Raises
    OSError.
    """
    described = {
        "format": FORMAT,
        "policy": policy.spec.as_json(),
        "env_id": policy.environment.env_id,
        "env_arguments": policy.environment.arguments,
        "max_episode_steps": policy.max_episode_steps,
        "fresh_env": policy.fresh_env,
    }
    metadata = {
        _KEY: json.dumps(described)
    }  # one key, since the order of several is not fixed, and equal runs give equal bytes
    arrays = {
        "parameters": policy.parameters,
        "observation_mean": policy.observation_mean,
        "observation_inverse_std": policy.observation_inverse_std,
    }
    replace_lasting(path, array_pieces(arrays, metadata))


def load_policy(path: str | Path) -> Policy:
    """Read a policy file, or the policy of a run directory.

    Raises:
        UserError: there is no such file, or it is damaged or of another kind.
    """
    path = Path(path)
    try:
        if path.is_dir():
            path = path / "policy.safetensors"
        if not path.exists():
            raise UserError(
                f"a policy must be a run directory or a policy file, got {path}, which does not "
                f"exist"
            )
        image = read_bytes(path)
        described = description_in(image, _KEY)
        if not isinstance(described, dict) or described.get("format") != FORMAT:
            raise UserError(
                f"{path} must be a policy of format {FORMAT}; it is another file, or of a newer "
                f"version"
            )
        arrays = parse_arrays(image, JSON_BYTES)
        if set(arrays) != set(_ARRAYS):
            raise ValueError(
                f"its arrays must be {listed(_ARRAYS)}, got {listed(sorted(arrays))[:200]}"
            )
        policy = Policy(
            _spec(described.get("policy")),
            arrays["parameters"],
            arrays["observation_mean"],
            arrays["observation_inverse_std"],
            environment_from(described),
            *_limits(described),
        )
        _check(policy)
    except UserError:
        raise
    except (ValueError, OSError, MemoryError) as error:
        raise UserError(f"{path} must be a whole policy file, but: {error}") from error

    return policy


def description_in(image: bytes, key: str) -> Any:
    """The JSON value under a key of a safetensors file's header, or None if there is none. Raises
    ValueError.
    """
    size = int.from_bytes(image[:8], "little")
    if len(image) < 8 or size > min(len(image) - 8, JSON_BYTES):
        raise ValueError(f"its header claims {size} bytes")

    header = parse_json(image[8 : 8 + size])
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    text = metadata.get(key) if isinstance(metadata, dict) else None
    return parse_json(text) if isinstance(text, str) else None


def _spec(data: Any) -> PolicySpec:
    """The architecture, every part of the type and the size that a kernel may rely on. Raises
    ValueError.
    """
    names = ("observation_dim", "hidden_sizes", "sampled", "components", "action")
    observation_dim, hidden_sizes, sampled, components, action = fields_from(data, *names)
    require(is_count(observation_dim), "observation_dim", observation_dim)
    require(
        is_list_of(hidden_sizes, is_count) and len(hidden_sizes) <= _MOST_LAYERS,
        "hidden_sizes",
        hidden_sizes,
    )
    require(isinstance(sampled, bool), "sampled", sampled)
    head = action_from(action)
    require(
        (type(components) is int and components == 0)
        or (is_count(components) and head.kind == "box"),
        "components",
        components,
    )

    return PolicySpec(observation_dim, head, tuple(hidden_sizes), sampled, components)


def action_from(data: Any) -> ActionSpec:
    kind, sizes, low, high, shape, starts, dtype = fields_from(
        data, "kind", "sizes", "low", "high", "shape", "starts", "dtype"
    )
    require(kind in ("box", "discrete", "multi-discrete", "multi-binary"), "kind", kind)
    require(is_list_of(sizes, is_count) and bool(sizes), "sizes", sizes)
    bounds = len(sizes) if kind == "box" else 0

    for name, values in (("low", low), ("high", high)):
        require(
            is_list_of(values, lambda value: isinstance(value, float) and value == value),
            name,
            values,
        )
        require(len(values) == bounds, name, values)

    require(all(below <= above for below, above in zip(low, high, strict=True)), "low", low)
    require(is_list_of(shape, is_count), "shape", shape)
    require(math.prod(shape) == len(sizes), "shape", shape)
    require(
        is_list_of(starts, lambda value: type(value) is int and abs(value) < 1 << 62),
        "starts",
        starts,
    )
    require(
        len(starts) == (len(sizes) if kind in ("discrete", "multi-discrete") else 0),
        "starts",
        starts,
    )
    require(isinstance(dtype, str) and dtype in _DTYPES, "dtype", dtype)
    if kind in ("box", "multi-binary"):
        require(set(sizes) == {1}, "sizes", sizes)

    return ActionSpec(
        kind, tuple(sizes), tuple(low), tuple(high), tuple(shape), tuple(starts), dtype
    )


def environment_from(described: dict[str, Any]) -> EnvironmentSpec:
    env_id = described.get("env_id")
    arguments = described.get("env_arguments")
    require(isinstance(env_id, str) and 0 < len(env_id) < 1000, "env_id", env_id)
    require(isinstance(arguments, dict), "env_arguments", arguments)
    return EnvironmentSpec(str(env_id), dict(arguments or {}))


def _limits(described: dict[str, Any]) -> tuple[int | None, bool]:
    steps = described.get("max_episode_steps")
    fresh_env = described.get("fresh_env")
    require(steps is None or is_count(steps), "max_episode_steps", steps)
    require(isinstance(fresh_env, bool), "fresh_env", fresh_env)
    return steps, bool(fresh_env)


def fields_from(data: Any, *names: str) -> list[Any]:
    if not isinstance(data, dict) or set(data) != set(names):
        raise ValueError(f"its description must have {listed(names)}, got {data!r:.200}")
    return [data[name] for name in names]


def require(condition: bool, name: str, value: Any) -> None:
    if not condition:
        raise ValueError(f"{name} is no good: {value!r:.80}")


def is_count(value: Any) -> bool:
    return type(value) is int and 0 < value < 1 << 31


def is_list_of(value: Any, good: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(good(item) for item in value)


def _check(policy: Policy) -> None:
    expected = {
        "parameters": policy.spec.num_parameters,
        "observation_mean": policy.spec.observation_dim,
        "observation_inverse_std": policy.spec.observation_dim,
    }
    for name, size in expected.items():
        array = getattr(policy, name)
        if array.shape != (size,) or array.dtype != np.float32:
            raise ValueError(
                f"{name} must be float32 of shape ({size},), got {array.dtype} of shape "
                f"{array.shape}"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite")
