"""``esengine train``, ``esengine resume`` and ``esengine sweep``: a run, or a set of runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from esengine.launch.runs.run_directory import default_path
from esengine.launch.runs.run_set import is_set
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.flags import parse_with_argument, split_at_dashes
from esengine.launch.settings.parse_train import (
    parse_resume,
    parse_train,
    resume_changes,
    take_flag,
)
from esengine.launch.settings.seeds import seeds_of
from esengine.launch.settings.sweep_file import runs_of_sweep
from esengine.launch.training.several import resume_set, start_set
from esengine.launch.training.start_and_resume import resume, start
from esengine.ranks import StopRequest


@dataclass(frozen=True)
class SweepSettings:
    """Train with each combination of settings that a TOML file describes, on the same workers at
    once. Flags of train for all runs may follow two dashes.
    """

    out: Path
    """Folder of the sweep, with a folder for each run."""


def train_command(argv: list[str], stop: StopRequest) -> int:
    """Start a run, or one for each of some seeds; returns the exit status. Raises UserError for
    invalid settings.
    """
    seeds, words = take_flag(argv, "--seeds")
    with stop.ending_at_once():  # a pipe may be waited for
        config = parse_train(words)
    if seeds is None:
        return start(config, stop)
    return start_set(*runs_of_seeds(config, seeds), stop)


def runs_of_seeds(config: RunConfig, seeds: str) -> tuple[Path, dict[str, RunConfig]]:
    """The folder of a set, and the settings of the run of each seed.

    Args:
        config: the settings of all runs.
        seeds: such as ``0-4``.
    """
    path = config.train.run_dir or default_path(config, f"seeds-{seeds}")
    names = {f"seed-{seed}": seed for seed in seeds_of(seeds)}
    return path, {
        name: config.with_train(seed=seed, run_dir=path / name) for name, seed in names.items()
    }


def sweep_command(argv: list[str], stop: StopRequest) -> int:
    """Carry a sweep out; returns its exit status. Raises UserError for a file that describes no
    runs.
    """
    with stop.ending_at_once():
        planned = planned_sweep(argv)
    return start_set(*planned, stop)


def planned_sweep(argv: list[str]) -> tuple[Path, dict[str, RunConfig]]:
    """The folder of a sweep, and the settings of each run.

    Args:
        argv: the words after ``esengine sweep``.
    """
    own, shared = split_at_dashes(argv)
    about = "A TOML file: flags for all runs, seeds, [grid] with lists of values, [[run]] tables."
    file, settings = parse_with_argument(SweepSettings, own, "esengine sweep", "file", about)
    return settings.out, {
        name: config.with_train(run_dir=settings.out / name)
        for name, config in runs_of_sweep(str(file), shared).items()
    }


def resume_command(argv: list[str], stop: StopRequest) -> int:
    """Resume a run, or all runs of a set; returns the exit status. Raises UserError for a folder
    that holds none.
    """
    parsed = parse_resume(argv)
    carry_on = resume_set if is_set(parsed.run) else resume
    changes = resume_changes(parsed)
    return carry_on(parsed.run, changes, parsed.quiet, parsed.trust_modules, stop)
