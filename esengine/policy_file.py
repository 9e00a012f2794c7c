"""Policy files: parameters, observation scaling and architecture in one safetensors file, no code."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from esengine.environments import EnvironmentSpec
from esengine.errors import UserError
from esengine.files import array_pieces, replace_lasting
from esengine.policies import Actor, PolicySpec
from esengine.spaces import ObservationSpec

FORMAT = 1
_KEY = "esengine"


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
        return Actor(self.spec, self.parameters, self.observation_mean, self.observation_inverse_std)

    def act(self, observation: Any, key: int = 0, step: int = 0) -> Any:
        """The action for one observation of the environment, flattened first if it is no array of numbers.

        Args:
            observation: as the environment gives it.
            key, step: of a sampled action, see `Actor.act`; count ``step`` up within an episode.

        Raises:
            UserError: the observation does not fit the policy.
        """
        flat = self._flat(observation)
        if flat.size != self.spec.observation_dim:
            raise UserError(f"an observation must have {self.spec.observation_dim} numbers for this policy, got {flat.size}")
        return self.actor().act(np.ascontiguousarray(flat), key, step)

    def _flat(self, observation: Any) -> NDArray[np.float32]:
        if isinstance(observation, np.ndarray | list) and np.size(observation) == self.spec.observation_dim:
            return np.asarray(observation, np.float32).ravel()
        if self._space is None:
            if ":" in self.environment.env_id:
                raise UserError(f"flatten the observation for {self.environment.env_id}: its module is not imported here")
            env = self.environment.make()
            self._space = env.observation_space
            env.close()
        return ObservationSpec.of(self._space).flat(self._space, observation)


def save_policy(path: Path, policy: Policy) -> None:
    """Write the file aside, flush and rename it, so that a reader never sees half of it. Raises OSError."""
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
    if path.is_dir():
        path = path / "policy.safetensors"
    if not path.is_file():
        raise UserError(f"a policy must be a run directory or a policy file, got {path}, which does not exist")
    try:
        with safe_open(path, "np") as file:
            described = json.loads((file.metadata() or {}).get(_KEY, "{}"))
            if not isinstance(described, dict) or described.get("format") != FORMAT:
                raise UserError(f"{path} must be a policy of format {FORMAT}; it is another file, or of a newer version")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        spec = PolicySpec.from_json(described["policy"])
        environment = EnvironmentSpec(str(described["env_id"]), dict(described["env_arguments"]))
        limits = {"max_episode_steps": described["max_episode_steps"], "fresh_env": bool(described["fresh_env"])}
        policy = Policy(spec, **arrays, environment=environment, **limits)
        _check(policy)
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(f"{path} must be a whole policy file, but: {error}") from error
    return policy


def _check(policy: Policy) -> None:
    expected = {
        "parameters": policy.spec.num_parameters,
        "observation_mean": policy.spec.observation_dim,
        "observation_inverse_std": policy.spec.observation_dim,
    }
    for name, size in expected.items():
        array = getattr(policy, name)
        if array.shape != (size,) or array.dtype != np.float32:
            raise ValueError(f"{name} must be float32 of shape ({size},), got {array.dtype} of shape {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite")
