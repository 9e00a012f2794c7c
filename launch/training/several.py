"""Several runs on one pool of ranks: starting and resuming a set of runs.

Each run has its own directory, checkpoints, budget and end, and the bytes that it has alone. A free
worker takes the oldest open unit of any of them. A run that fails does not end the others.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from esengine.algorithms.strategy import Method
from esengine.errors import Interrupted, UserError, WorkerError, put
from esengine.launch.mpirun.local_ranks import (
    default_workers,
    find_mpirun,
    launched_by_us,
    must_launch,
    run_ranks,
)
from esengine.launch.runs.charts import draw_last
from esengine.launch.runs.outcomes import BAD_INPUT, DONE, FAILED, STOPPED
from esengine.launch.runs.result import RunResult
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.runs.run_lock import wait_until_free
from esengine.launch.runs.run_set import runs_of_set, write_set
from esengine.launch.settings.config import RunConfig, flags_from
from esengine.launch.terminal.set_view import SetView
from esengine.launch.training.method_run import method_run
from esengine.launch.training.run import completed, noting, part_of, prepare, rules_of
from esengine.launch.training.start_and_resume import reason_not_to_go_on, reopen
from esengine.noise import TableNeed
from esengine.noise.table import check_table_room
from esengine.pool import Part, Pool, several_on_all_ranks
from esengine.programs import bind_worker
from esengine.ranks import StopRequest, World

_PATIENCE_S = 60.0
_SHARED = ("workers", "threads_per_rank", "member_retries", "max_failed_fraction", "respawn")


def start_set(path: Path, configs: Mapping[str, RunConfig], stop: StopRequest) -> int:
    """Begin some runs and see them to their ends; returns the exit status.

    Args:
        path: the folder of the set, which must not exist or be empty.
        configs: the settings of each run, by the name of its folder.
        stop: set by signals.

    Raises:
        UserError: settings are invalid, or the folder is; nothing has been started.
    """
    if World().is_master and path.exists() and any(path.iterdir()):
        raise UserError(f"a set of runs must have a new folder, got {path}; use another --run-dir")
    return carry_on(path, configs, stop)


def carry_on(path: Path, configs: Mapping[str, RunConfig], stop: StopRequest) -> int:
    """Begin the runs that a folder lacks, and resume the others; returns the exit status.
    Arguments and errors are those of `start_set`.
    """
    quiet = all(config.train.quiet for config in configs.values())
    _check_shared(configs)
    world = World()
    world.agree(lambda: _prepare(path, configs) if world.is_master else None)
    return resume_set(path, {}, quiet, True, stop)


def resume_set(
    path: Path, changes: dict[str, object], quiet: bool, trusted: bool, stop: StopRequest
) -> int:
    """Resume all runs of a set that have not finished; returns the exit status. Arguments and
    errors are those of `start_and_resume.resume`.
    """
    world = World()

    def reopened() -> list[RunDirectory]:
        found = []
        for run in runs_of_set(path):
            directory = reopen(run, changes, trusted)
            if reason_not_to_go_on(directory, changes) is None:
                found.append(directory)
            else:
                directory.release()
        return found

    directories = world.agree(lambda: reopened() if world.is_master else [])
    configs = [directory.config().with_train(quiet=quiet) for directory in directories]
    if not world.broadcast(len(configs), int):
        if world.is_master and not quiet:
            put(f"all runs of {path} have finished already; to continue, give them a larger budget")
        return DONE

    if world.is_master:
        _check_shared(
            {
                directory.path.name: each
                for directory, each in zip(directories, configs, strict=True)
            }
        )
        first = configs[0].train
        workers = first.workers or default_workers(first.threads_per_rank or 1)
        if must_launch(workers):
            find_mpirun()
            for directory in directories:
                directory.release()
            return _launch(path, directories, workers, quiet, stop, changes)

    config_texts = world.broadcast([config.to_json() for config in configs], list[dict[str, Any]])
    own = [RunConfig.from_json(text) for text in config_texts]
    return _run_here(world, path, directories, own, stop)


def _prepare(path: Path, configs: Mapping[str, RunConfig]) -> None:
    """Make the runs that the folder of a set lacks, all of them or none."""
    path.mkdir(parents=True, exist_ok=True)
    made: list[RunDirectory] = []
    needs = []
    try:
        for name, config in configs.items():
            if (path / name / "config.json").exists():
                continue
            config = completed(config)
            made.append(prepare(config, path / name, shared_memory=False))
            built = method_run(config).check()
            needs.append(TableNeed(config.train.seed, built.log2_size, built.problem.dimension))
        check_table_room(needs)
        write_set(path, list(configs))
    except BaseException:
        for directory in made:
            directory.remove_if_bare()
        with suppress(OSError):
            path.rmdir()
        raise
    finally:
        for directory in made:
            directory.release()


def check_set(configs: Mapping[str, RunConfig]) -> None:
    """Raises UserError for runs that are invalid, or cannot share ranks."""
    for config in configs.values():
        config.check()
    _check_shared(configs)


def _check_shared(configs: Mapping[str, RunConfig]) -> None:
    """Raises UserError for runs that cannot share ranks."""
    first = next(iter(configs.values())).train
    for name, config in configs.items():
        train = config.train
        if config.isolates or train.ranks_per_member is not None:
            raise UserError(
                f"--isolate, --member-timeout and --ranks-per-member must be used with one run at "
                f"a time, got {name} of a set; drop them"
            )
        for setting in _SHARED:
            if getattr(train, setting) != getattr(first, setting):
                raise UserError(
                    f"runs that share ranks must have the same "
                    f"--{setting.replace('_', '-')}, got {getattr(train, setting)} for {name} and "
                    f"{getattr(first, setting)}; use one value"
                )


def _launch(
    path: Path,
    directories: list[RunDirectory],
    workers: int,
    quiet: bool,
    stop: StopRequest,
    changes: Mapping[str, object] = MappingProxyType({}),
) -> int:
    """Start local ranks for the runs, show them, and judge them by their records."""
    num_starts = [len(directory.starts()) for directory in directories]
    arguments = ["resume", str(path.resolve()), "--trust-modules", *flags_from(changes)]
    with SetView(path, quiet) as view, suppress(Interrupted):
        run_ranks(workers, arguments, stop, view.update)

    outcomes = []
    for directory, before in zip(directories, num_starts, strict=True):
        wait_until_free(directory.folder, _PATIENCE_S)
        starts = directory.starts()
        outcome = starts[-1].get("outcome") if len(starts) > before else None
        if outcome is None and len(starts) > before:
            directory.note(outcome="stopped")
        outcomes.append(outcome or "stopped")
        if not stop:
            draw_last(directory, directory.config())
    return _status(path, outcomes, quiet)


def _run_here(
    world: World,
    path: Path,
    directories: list[RunDirectory],
    configs: list[RunConfig],
    stop: StopRequest,
) -> int:
    """Carry the runs out on the ranks of ``world``; the master keeps the records."""
    if configs[0].train.threads_per_rank is not None:
        bind_worker(world, configs[0].train.threads_per_rank)
    known: list[RunDirectory | None] = [*directories] or [None] * len(configs)
    parts = [
        _kept(world, config, directory, stop)
        for config, directory in zip(configs, known, strict=True)
    ]
    try:
        results = several_on_all_ranks(world, parts, stop, rules_of(configs[0]))
    finally:
        for directory in directories:
            directory.release()
    if results is None:
        return DONE

    outcomes = []
    for directory, result in zip(directories, results, strict=True):
        if isinstance(result, BaseException):
            _report(directory, result)
            outcomes.append("failed")
        else:
            outcomes.append("done" if result.finished else "stopped")
    return _status(path, outcomes, quiet=launched_by_us() or configs[0].train.quiet)


def _kept(
    world: World, config: RunConfig, directory: RunDirectory | None, stop: StopRequest
) -> Part[Any, RunResult]:
    """The part of a run whose record says when it started and how it ended."""
    part = part_of(world, config, directory, ())
    if directory is None:
        return part

    def work(pool: Pool, method: Method) -> RunResult:
        directory.add_start(world.num_workers)
        with noting(directory, config, stop) as note:
            return note(part.work(pool, method))

    return Part(part.build, work, part.isolated)


def _report(directory: RunDirectory, error: BaseException) -> None:
    """Print why a run failed."""
    if isinstance(error, UserError | WorkerError):
        put(f"esengine: {directory.path}: {error}", file=sys.stderr, flush=True)
    else:
        traceback.print_exception(error)


def _status(path: Path, outcomes: list[str], quiet: bool) -> int:
    """The exit status of a set; prints how it ended."""
    stopped = outcomes.count("stopped")
    failed = len(outcomes) - outcomes.count("done") - stopped
    if not quiet:
        put(SetView.text_of(path))
        if stopped or failed:
            put(
                f"{failed} failed and {stopped} stopped of {len(outcomes)} runs; resume with: "
                f"esengine resume {path}",
                flush=True,
            )
        else:
            put(f"all runs of {path} have finished", flush=True)
    if failed:
        return BAD_INPUT if set(outcomes) == {"refused"} else FAILED
    return STOPPED if stopped else DONE
