"""What runs leave: their rows, and whether two are the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file


def rows(run: Path) -> list[dict[str, Any]]:
    """All rows without the key that may differ between machines and starts."""
    parsed = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "machine"} for row in parsed]


def same_run(first: Path, second: Path) -> None:
    """Fails unless two runs hold the same rows and the same bytes of parameters and state."""
    assert rows(first) == rows(second)
    for name in ("policy.safetensors", "archive.safetensors"):
        if (first / name).exists():
            assert (first / name).read_bytes() == (second / name).read_bytes()
    names = [
        sorted(path.name for path in (run / "checkpoints").iterdir())[-1] for run in (first, second)
    ]
    assert names[0] == names[1]
    states = [
        load_file(run / "checkpoints" / names[0] / "state.safetensors") for run in (first, second)
    ]
    assert set(states[0]) == set(states[1])
    for name, array in states[0].items():
        np.testing.assert_array_equal(states[1][name], array, err_msg=name)
    done = [json.loads((run / "done.json").read_text()) for run in (first, second)]
    assert done[0] == done[1]


def folder_of(*names: str) -> str:
    return "-".join(names).replace(" ", "-")
