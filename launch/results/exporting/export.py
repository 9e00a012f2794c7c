"""Writing a policy in the formats of other programs."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors.numpy import save

from esengine.checks import writable_file
from esengine.errors import UserError, put
from esengine.launch.results.elites import policy_at
from esengine.launch.results.exporting import predictor
from esengine.launch.results.exporting.network import Network, network_of
from esengine.launch.results.exporting.onnx_graph import onnx_bytes
from esengine.launch.settings.flags import parse_with_argument
from esengine.policies import save_policy
from esengine.policies.network import check_compiled
from esengine.ranks import StopRequest
from esengine.storage.files import replace_lasting

_ENDINGS = {
    "torch": ".safetensors",
    "onnx": ".onnx",
    "stable-baselines3": ".py",
    "policy": ".safetensors",
}
_LINE = 120  # characters of packed arrays


@dataclass(frozen=True)
class ExportSettings:
    """Write a policy for other programs: observation scaling, network and action bounds in one
    file.
    """

    format: Literal["torch", "onnx", "stable-baselines3", "policy"]
    """Tensors of a torch module, an ONNX graph, a Python file whose object predicts as
    Stable-Baselines3's models do, or a policy file of esengine, for an elite of an archive.
    """
    out: Path
    """The file to write: .safetensors, .onnx or .py."""
    cell: str | None = None
    """The elite to write, by its cell in the archive of the run, such as 3,7; or best."""

    def check(self) -> None:
        """Raises UserError for a file that does not fit the format, or whose folder is missing."""
        writable_file(self, "out", _ENDINGS[self.format], purpose=f" for {self.format}")


def export_command(argv: list[str], stop: StopRequest) -> int:
    """Write the file; returns the exit status. Raises UserError for an invalid policy or file
    name.
    """
    about = "A run directory, a policy file or, with --cell, an archive file."
    policy, settings = parse_with_argument(ExportSettings, argv, "esengine export", "policy", about)
    put(export(policy, settings))
    return 0


def export(path: Path, settings: ExportSettings) -> str:
    """Write the policy of a run, or of a policy file; returns a sentence on its inputs and outputs.

    Raises:
        UserError: there is no such policy, or a package that the format needs is missing.
    """
    settings.check()
    policy = policy_at(path, settings.cell)
    if settings.format == "policy":
        save_policy(settings.out, policy)
        return f"{settings.out}: a policy of {policy.environment.env_id}"
    check_compiled(policy.spec, "export")
    if policy.spec.convolutions:
        raise UserError(
            f"export needs a policy of dense or recurrent layers, got {path} with convolutions; "
            f"esengine.load_policy loads it"
        )
    network = network_of(policy)
    image = {"torch": _torch_bytes, "onnx": onnx_bytes, "stable-baselines3": _python_bytes}
    replace_lasting(settings.out, image[settings.format](network))

    action = policy.spec.action
    shape = "".join(f", {size}" for size in action.shape)
    likeliest = "; it takes the likeliest action, where the policy draws one"
    state = network.head["state_size"]
    carries = f"; it has a state (batch, {state}), zero at the beginning of an episode"
    return (
        f"{settings.out}: observation (batch, {policy.spec.observation_dim}) to action "
        f"(batch{shape}) {action.dtype}{carries if state else ''}"
        f"{likeliest if policy.spec.sampled else ''}"
    )


def _torch_bytes(network: Network) -> bytes:
    tensors = {**network.scaling, **network.bounds}
    for number, layer in enumerate(network.layers):
        tensors |= {f"layers.{number}.{name}": array for name, array in layer.arrays.items()}
    return save(
        {name: np.ascontiguousarray(array) for name, array in tensors.items()},
        {"esengine": json.dumps(network.head)},
    )


def _python_bytes(network: Network) -> bytes:
    arrays = {
        **network.scaling,
        **network.bounds,
        "head": np.array(json.dumps(network.head)),
    }
    for number, layer in enumerate(network.layers):
        arrays |= {f"{number}.{name}": array for name, array in layer.arrays.items()}

    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    packed = base64.b64encode(file.getvalue()).decode()

    lines = "\n".join(
        f'    "{packed[first : first + _LINE]}"' for first in range(0, len(packed), _LINE)
    )
    source = Path(predictor.__file__).read_text()
    return f"{source}\n\npolicy = Predictor(\n{lines}\n)\n".encode()
