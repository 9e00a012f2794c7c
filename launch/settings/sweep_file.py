"""The TOML file of ``esengine sweep``: a grid or a list of settings, and seeds."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

from esengine.errors import UserError, listed
from esengine.launch.settings.config import RunConfig, flags_from
from esengine.launch.settings.parse_train import parse_train, read_toml
from esengine.launch.settings.seeds import seeds_of

_MOST = 10_000
_LONGEST = 100  # characters of a folder's name


def runs_of_sweep(file: str, shared: list[str]) -> dict[str, RunConfig]:
    """The settings of each run of a sweep, by the name of its folder.

    Args:
        file: the TOML file. Flags beside each other hold for all runs, ``method`` among them;
            ``seeds`` is such as "0-4"; in ``[grid]`` each flag has a list of values, all
            combinations of which are runs; each ``[[run]]`` names the flags of one more run, in
            every combination with the grid.
        shared: words of the command line that hold for all runs, and win.

    Raises:
        UserError: the file describes no runs.
    """
    values = read_toml(file, "the file of a sweep")
    grid = values.pop("grid", {})
    listed_runs = values.pop("run", [{}])
    seeds = seeds_of(str(values.pop("seeds", values.pop("seed", 0))))
    _check(file, grid, listed_runs)

    planned: dict[str, RunConfig] = {}
    names = [name.replace("-", "_") for name in grid]
    for chosen in itertools.product(*grid.values()):
        for own in listed_runs:
            varied = dict(zip(names, chosen, strict=True))
            varied |= {name.replace("-", "_"): value for name, value in own.items()}
            for seed in seeds:
                name = _folder(varied, seed)
                if name in planned:
                    raise UserError(
                        f"the runs of a sweep must differ, got two of {name} in {file}; drop one"
                    )
                planned[name] = _config(file, values | varied, shared, seed)
                if len(planned) > _MOST:
                    raise UserError(f"a sweep has at most {_MOST} runs, got more in {file}")
    return planned


def _check(file: str, grid: Any, runs: Any) -> None:
    """Raises UserError for a grid or a list of runs of another form."""
    is_grid = isinstance(grid, dict) and all(
        isinstance(values, list) and values for values in grid.values()
    )
    if not is_grid:
        raise UserError(
            f"[grid] of a sweep must give each flag a list of values, got {grid!r:.80} in {file}; "
            f"for example sigma = [0.02, 0.05]"
        )
    if not (isinstance(runs, list) and runs and all(isinstance(run, dict) for run in runs)):
        raise UserError(
            f"the runs of a sweep must be tables [[run]], got {runs!r:.80} in {file}; for example "
            f'[[run]] with method = "ars"'
        )


def _config(file: str, values: Mapping[str, Any], shared: list[str], seed: int) -> RunConfig:
    own = dict(values)
    method = own.pop("method", None)
    if not isinstance(method, str):
        raise UserError(
            f"every run of a sweep must have a method, got {listed(own) or 'nothing'} in {file}; "
            f'add method = "openai-es"'
        )
    return parse_train([method, *flags_from(own), "--seed", str(seed), *shared])


def _folder(varied: Mapping[str, Any], seed: int) -> str:
    """The name of a run's folder: what it has of its own."""
    parts = [
        str(value) if name == "method" else f"{name.replace('_', '-')}-{value}"
        for name, value in varied.items()
    ]
    text = re.sub(r"[^A-Za-z0-9.+_-]+", "-", "-".join(parts))[:_LONGEST].strip("-")
    return f"{text}-seed-{seed}" if text else f"seed-{seed}"
