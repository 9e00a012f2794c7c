"""The environment that a file of demonstrations is from, and what the user says of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from esengine.environments import EnvironmentSpec
from esengine.errors import UserError, in_one_line


@dataclass(frozen=True)
class Origin:
    """What a file says of its environment.

    Attributes:
        environment: as far as the file names it, or None.
        problem: why the environment cannot be had from the file alone, or nothing.
        module: of the class that the file names, of which the user may be told but which is never
            imported for that; nothing if it is unknown.
        observation_space, action_space: of the file, or None if it has none.
        other: another environment that the file names, for the recording instead of evaluations.
    """

    environment: EnvironmentSpec | None
    problem: str = ""
    module: str = ""
    observation_space: spaces.Space[Any] | None = None
    action_space: spaces.Space[Any] | None = None
    other: EnvironmentSpec | None = None

    def resolved(self, name: str, given: EnvironmentSpec | None) -> EnvironmentSpec:
        """The environment: the file's, with the module, arguments and wrappers that are given.

        Args:
            name: the file, for messages.
            given: what the user names, or None.

        Raises:
            UserError: neither names one that can be had, or they name two.
        """
        found = self.environment
        if given is None:
            if found is None or self.problem:
                raise UserError(
                    f"{name} must tell its environment, but {self.problem}; name one with the same "
                    f"spaces by --env-id EnvId, or module:EnvId for one that a module registers"
                )
            return found

        if found is None:
            return given
        if found.name != given.name:
            if self.problem:
                return given
            if self.other is None or self.other.name != given.name:
                raise UserError(
                    f"{name}: demonstrations must be of one environment, got {found} beside "
                    f"{given} of --env-id; name files of one environment"
                )
            found = self.other
        if self.problem and not given.wrappers:
            raise UserError(
                f"{name} is of more than {found.name}: {self.problem}; give --env-wrapper, or "
                f"--env-id module:EnvId of an environment that has it"
            )
        merged = {**found.arguments, **given.arguments}
        return EnvironmentSpec(given.env_id, merged, given.wrappers or found.wrappers)

    def check_known(self, name: str, environment: EnvironmentSpec) -> None:
        """Raises UserError for an environment that only a package registers which is not named."""
        known = ":" in environment.env_id or environment.env_id in gymnasium.registry
        if known or self.module in ("", "gymnasium"):
            return
        raise UserError(
            f"{name}: its environment {environment.env_id} must be registered, but no module that "
            f"is imported does so; install its package, and name the module that registers it: "
            f"--env-id {self.module}:{environment.env_id}"
        )

    def check_spaces(self, name: str, env: gymnasium.Env[Any, Any]) -> None:
        """Raises UserError if the file's spaces are not those of the environment."""
        for what in ("observation_space", "action_space"):
            own, other = getattr(self, what), getattr(env, what)
            if own is not None and not _are_equal(own, other):
                raise UserError(
                    f"{name}: its {what.replace('_', ' ')} must be that of its environment, got "
                    f"{in_one_line(own)} beside {in_one_line(other)}; name the wrapper that makes "
                    f"the difference by --env-wrapper, or an environment that has it by --env-id"
                )


def without_module(environment: EnvironmentSpec) -> EnvironmentSpec:
    """The environment without the module that registers it, to compare two."""
    return replace(environment, env_id=environment.name)


def _are_equal(first: spaces.Space[Any], second: spaces.Space[Any]) -> bool:
    """Whether two spaces hold the same values, but for the precision of numbers."""
    if isinstance(first, spaces.Dict) and isinstance(second, spaces.Dict):
        same = first.spaces.keys() == second.spaces.keys()
        return same and all(_are_equal(part, second[key]) for key, part in first.spaces.items())
    if isinstance(first, spaces.Tuple) and isinstance(second, spaces.Tuple):
        same = len(first.spaces) == len(second.spaces)
        return same and all(map(_are_equal, first.spaces, second.spaces))
    if isinstance(first, spaces.Box) and isinstance(second, spaces.Box):
        return first.shape == second.shape and all(
            np.allclose(one.astype(float), other.astype(float), rtol=1e-5, atol=1e-6)
            for one, other in ((first.low, second.low), (first.high, second.high))
        )
    return bool(first == second)
