"""``esengine evaluate RUN``: the mean return of a policy."""

from __future__ import annotations

from dataclasses import make_dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from esengine.interrupts import StopRequest
from esengine.launch.commands.parsing import parse
from esengine.launch.evaluation import EvaluateSettings, evaluate_command


def command(argv: list[str], stop: StopRequest) -> int:
    """Evaluate the policy; returns the exit status. Raises UserError for a file that holds none."""
    kind = make_dataclass(
        "evaluate",
        [
            ("policy", Annotated[Path, tyro.conf.Positional, tyro.conf.arg(help="A run directory or a policy file.")]),
            ("how", EvaluateSettings),
        ],
        frozen=True,
    )
    parsed: Any = parse(kind, argv, "esengine evaluate", description=EvaluateSettings.__doc__)
    return evaluate_command(parsed.policy, parsed.how, stop)
