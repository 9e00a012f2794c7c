"""``esengine compare``: methods times seeds on one task, with curves, a table of intervals, and the
commands.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from esengine.checks import one_of
from esengine.errors import UserError, put
from esengine.launch.results.plotting.command import PlotSettings, plot
from esengine.launch.runs.outcomes import DONE
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.settings.flags import parse_with_argument, split_at_dashes
from esengine.launch.settings.methods import METHODS
from esengine.launch.settings.parse_train import parse_train
from esengine.launch.settings.seeds import seeds_of
from esengine.launch.training.several import carry_on
from esengine.ranks import StopRequest
from esengine.storage.files import replace_lasting, write_json

_RESAMPLES = 2_000
_INTERVAL = (2.5, 97.5)  # percentiles
_CUT = 0.25  # share of the results that is left out at either end


@dataclass(frozen=True)
class CompareSettings:
    """Train each method with each seed on one task, all on the same workers at once, and compare
    them.

    The flags of train that all runs share follow two dashes. A comparison that was interrupted, or
    gets more seeds or methods, continues: runs that have finished are kept.
    """

    out: Path
    """Folder of the comparison: a folder per run, curves.png, results.json and commands.sh."""
    seeds: str = "0-4"
    """Seeds, such as 0-4 or 0,3,7."""


class Summary(NamedTuple):
    """Results of a method over seeds.

    Attributes:
        iqm: interquartile mean, the mean of the middle half (Agarwal et al. 2021, arXiv
            2108.13264).
        low, high: the ends of its 95 % interval, by the percentile bootstrap over the seeds.
        results: one per seed.
    """

    iqm: float
    low: float
    high: float
    results: tuple[float, ...]


def compare_command(argv: list[str], stop: StopRequest) -> int:
    """Carry a comparison out; returns its exit status. Raises UserError for invalid settings."""
    own, shared = split_at_dashes(argv)
    about = f"Methods, such as cma-es openai-es; one of {', '.join(METHODS)}, or module:Class."
    methods, settings = parse_with_argument(
        CompareSettings, own, "esengine compare", "methods", about, tuple[str, ...]
    )
    if not (methods and shared):
        raise UserError(
            "compare needs methods, and the flags of train after two dashes, got none; for example "
            "esengine compare cma-es snes --out runs/compared -- --env-id CartPole-v1 "
            "--max-env-steps 100000"
        )
    for method in methods:
        if ":" not in method:
            one_of("the method", method, METHODS, "see esengine train --help")
    seeds = seeds_of(settings.seeds)
    planned = _planned(methods, seeds, shared, settings.out)

    settings.out.mkdir(parents=True, exist_ok=True)
    lines = [shlex.join(["esengine", "train", *words]) for words in planned.values()]
    replace_lasting(settings.out / "commands.sh", ("\n".join(lines) + "\n").encode())
    configs = {path: parse_train(words) for path, words in planned.items()}
    for config in configs.values():
        config.check()
    status = carry_on(settings.out, {path.name: config for path, config in configs.items()}, stop)
    if status != DONE:
        return status

    plot((settings.out,), PlotSettings(settings.out / "curves.png"))
    found = {
        method: summary(
            [_result(settings.out / f"{method_folder(method)}-{seed}") for seed in seeds]
        )
        for method in methods
    }
    write_json(settings.out / "results.json", {name: one._asdict() for name, one in found.items()})
    minimize = next(iter(configs.values())).train.minimize
    put(table(found, minimize))
    put(f"curves, results and commands in {settings.out}", flush=True)
    return DONE


def summary(results: ArrayLike) -> Summary:
    """The summary of a method's results, (num_seeds,)."""
    values = np.asarray(results, np.float64)
    random = np.random.Generator(np.random.Philox(0))
    drawn = values[random.integers(values.size, size=(_RESAMPLES, values.size))]
    low, high = np.percentile([interquartile_mean(each) for each in drawn], _INTERVAL)
    return Summary(interquartile_mean(values), float(low), float(high), tuple(values.tolist()))


def interquartile_mean(values: ArrayLike) -> float:
    """The mean of the middle half of some numbers."""
    ordered = np.sort(np.asarray(values, np.float64))
    cut = int(_CUT * ordered.size)
    return float(ordered[cut : ordered.size - cut].mean())


def table(found: Mapping[str, Summary], minimize: bool) -> str:
    """A table of summaries, the best first."""
    width = max(len("method"), *map(len, found))
    lines = [f"{'method':<{width}}  {'IQM':>12}  {'95 % interval':>27}  seeds"]
    for name, one in sorted(found.items(), key=lambda each: each[1].iqm, reverse=not minimize):
        interval = f"{one.low:12.6g} to {one.high:<12.6g}"
        lines.append(f"{name:<{width}}  {one.iqm:12.6g}  {interval:>27}  {len(one.results)}")
    return "\n".join(lines)


def method_folder(method: str) -> str:
    """A method's name in the name of a folder."""
    return method.replace(":", "-")


def _planned(
    methods: Sequence[str], seeds: Sequence[int], shared: list[str], out: Path
) -> dict[Path, list[str]]:
    """The words after ``esengine train`` of each run, by its folder."""
    planned = {}
    for seed in seeds:
        for method in methods:
            path = out / f"{method_folder(method)}-{seed}"
            own = ["--seed", str(seed), "--eval-seed", "0", "--run-dir", str(path)]
            planned[path] = [method, *shared, *own]
    return planned


def _result(path: Path) -> float:
    """The result of a finished run: the return over fresh episodes, or the best value."""
    directory = RunDirectory.open(path)
    if directory.config().train.is_function:
        return float(directory.best()["value"])
    done = directory.done() or {}
    result = done.get("final_return")
    return float("nan") if result is None else float(result)
