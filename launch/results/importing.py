"""``esengine import``: a policy file from a model of Stable-Baselines3 or an ONNX graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from esengine.checks import writable_file
from esengine.environments import EnvironmentSpec
from esengine.errors import UserError, counted, put
from esengine.launch.settings.flags import parse_with_argument
from esengine.launch.settings.groups import environment_of
from esengine.policies import Policy, save_policy
from esengine.policies.foreign_policy import load_foreign
from esengine.ranks import StopRequest


@dataclass(frozen=True)
class ImportSettings:
    """Make a policy file of a network that another library trained, for all other commands: as the
    start of a search or as an expert.
    """

    env_id: str
    """Gymnasium environment that the policy is for, as EnvId or module:EnvId."""
    out: Path
    """The policy file to write: .safetensors."""
    env_arg: tuple[str, ...] = ()
    """Arguments of the environment, each name=value; a value is JSON, a Python literal or a plain
    word.
    """
    env_wrapper: tuple[str, ...] = ()
    """Wrappers of gymnasium around the environment, the innermost first, each Name or
    Name={"argument": value}.
    """

    def check(self) -> None:
        """Raises UserError for a file of another ending, or whose folder is missing."""
        writable_file(self, "out", ".safetensors")

    def environment(self) -> EnvironmentSpec:
        """The environment. Raises UserError."""
        return environment_of(self.env_id, self.env_arg, self.env_wrapper)


def import_command(argv: list[str], stop: StopRequest) -> int:
    """Write the file; returns the exit status. Raises UserError for a file that cannot be read."""
    about = "A zip of Stable-Baselines3 (MlpPolicy of PPO, A2C or DQN) or an ONNX graph."
    path, settings = parse_with_argument(ImportSettings, argv, "esengine import", "file", about)
    put(import_policy(path, settings))
    return 0


def import_policy(path: Path, settings: ImportSettings) -> str:
    """Write the policy file; returns a sentence about the policy.

    Raises:
        UserError: there is no such file, it is of another kind, or does not fit the environment.
    """
    settings.check()
    if not path.is_file():
        raise UserError(f"the file must exist, got {path}; name a .zip or an .onnx file")
    environment = settings.environment()
    observations, action = environment.spaces()
    spec, row = load_foreign(path, observations.dim, action)
    scale = np.ones(observations.dim, np.float32)
    save_policy(settings.out, Policy(spec, row, np.zeros_like(scale), scale, environment))
    layers = f"hidden layers {spec.hidden_sizes} with {spec.activation}"
    return f"{settings.out}: {counted(len(row), 'parameter')}, {layers}, for {environment}"
