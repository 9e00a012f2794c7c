"""Starting and resuming a run: in this process, on local ranks, or on the ranks of a launch that
this process is in.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from esengine.compiled import on_compiling
from esengine.errors import Interrupted, UserError, WorkerError, put
from esengine.launch.mpirun.caller import Caller, remote_callbacks
from esengine.launch.mpirun.local_ranks import (
    ALONE_S,
    begins_alone,
    default_workers,
    find_mpirun,
    launched_by_us,
    must_launch,
    run_ranks,
)
from esengine.launch.runs.charts import draw_last
from esengine.launch.runs.outcomes import (
    DONE,
    OUTCOMES,
    STOPPED,
    print_finished,
    print_outcome,
    report_end,
)
from esengine.launch.runs.run_directory import RunDirectory, default_path
from esengine.launch.settings.config import RunConfig, flags_from
from esengine.launch.settings.methods import check_torch
from esengine.launch.terminal.choose_output import choose_display, showing
from esengine.launch.terminal.panel import Display
from esengine.launch.training.isolation import fork_early, fork_for_run
from esengine.launch.training.loop import Callback
from esengine.launch.training.run import completed, prepare, run, run_and_note
from esengine.ranks import StopRequest, World
from esengine.storage import checkpoints, load_checkpoint


def start(config: RunConfig, stop: StopRequest) -> int:
    """Begin a new run and see it to its end; returns the exit status.

    Raises:
        UserError: the settings or the run directory are invalid; nothing has been started.
    """
    config = completed(config)
    if config.choice and not config.train.quiet:
        put(config.choice, flush=True)
    path = config.train.run_dir or default_path(config)
    workers = config.train.workers or default_workers(config.train.cores_per_worker)
    if must_launch(workers, config.worker_timeout):
        find_mpirun()
        made = prepare(config, path, shared_memory=True)
        shared = config.train.cores_per_worker == 1
        if shared and begins_alone(config.train.workers, config.worker_timeout):
            return _begin_alone(made, config, workers, stop)
        made.release()  # the master of the ranks becomes the writer
        status = _launch(made, config, workers, stop)
        if status not in (DONE, STOPPED):
            made.remove_if_bare()
        return status

    fork_early(config)
    world = World()
    directory = world.agree(
        lambda: prepare(config, path, world.size > 1) if world.is_master else None
    )
    try:
        return _run_here(world, directory, config, stop)
    except (UserError, WorkerError):
        if directory is not None:
            directory.remove_if_bare()
        raise


def _begin_alone(
    directory: RunDirectory, config: RunConfig, workers: int, stop: StopRequest
) -> int:
    """Begin a run in this process, and continue with workers if it lasts longer than starting them
    does; returns the exit status. The result is the same.
    """
    num_starts = len(directory.starts())
    directory.add_start(1)
    with Display(config, directory.path, stop=stop) as display:

        def note_compiling() -> None:
            directory.note(compiled=True)
            display.compiling()

        try:
            with stop.pausing_after(ALONE_S), on_compiling(note_compiling):
                result = run_and_note(World(), config, directory, stop, (display,))
        except (UserError, WorkerError):
            directory.remove_if_bare()
            raise
        if not (result.finished or stop):
            num_starts = len(directory.starts())
            launch(directory, workers, stop, display)
    return report_end(directory, num_starts, config.train.quiet, bool(stop))


def resume(
    path: Path, changes: dict[str, object], quiet: bool, trusted: bool, stop: StopRequest
) -> int:
    """Resume a run, with some shared settings changed; returns the exit status.

    Args:
        path: the run directory.
        changes: shared settings to change for good.
        quiet: print nothing but errors, this time.
        trusted: import modules that the run's files name.
        stop: set by signals.

    Raises:
        UserError: the folder is no run, another process writes there, or the run names a module
            that is not trusted.
    """
    fork_for_run(path)
    world = World()
    directory = world.agree(lambda: reopen(path, changes, trusted) if world.is_master else None)
    found = None if directory is None else reason_not_to_go_on(directory, changes)
    reason = world.broadcast(found, str | None)
    if reason:
        if directory is not None:
            directory.release()
            print_finished(directory, reason, quiet)
        return DONE
    if directory is None:
        return _run_here(world, None, None, stop)

    config = directory.config().with_train(quiet=quiet)
    workers = config.train.workers or default_workers(config.train.cores_per_worker)
    if must_launch(workers, config.worker_timeout):
        find_mpirun()
        directory.release()
        return _launch(directory, config, workers, stop, changes)
    return _run_here(world, directory, config, stop)


def reopen(path: Path, changes: dict[str, object], trusted: bool) -> RunDirectory:
    """Open a run for this process, its one writer, to resume it. Raises UserError.

    Args:
        path: the run directory.
        changes: shared settings to change for good.
        trusted: import modules that the run's files name.
    """
    directory = RunDirectory.open(path, trusted).acquire()
    try:
        config = _check(directory, changes)
        if changes:
            directory.change_config(config)
    except UserError:
        directory.release()
        raise

    return directory


def check_resumable(path: Path, changes: dict[str, object], trusted: bool) -> None:
    """Raises UserError for a run that `resume` would refuse, whether or not another process writes
    to it now.
    """
    _check(RunDirectory.open(path, trusted), changes)


def _check(directory: RunDirectory, changes: dict[str, object]) -> RunConfig:
    """The settings of a run that can be resumed. Raises UserError for another one."""
    config = directory.trusted_config().with_train(**changes)
    config.check()
    check_torch(config.method)
    _check_done(directory)
    directory.check_copies()
    directory.metrics.check_first(directory.identity())
    return config


def _check_done(directory: RunDirectory) -> None:
    """Raises UserError for a completion record of another run, which must not be removed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = directory.done()
    if done is None and os.path.lexists(directory.path / "done.json"):
        raise UserError(
            f"{directory.path}/done.json must be of the run that config.json describes, got that "
            f"of one with other settings; restore config.json, or move done.json away"
        )


def reason_not_to_go_on(directory: RunDirectory, changes: dict[str, object]) -> str | None:
    """Why a finished run would end again at once, or None: it is not finished, or was given more to
    do.
    """
    # damaged records are reported by the run, or written anew
    with suppress(OSError, ValueError, IndexError):
        done = directory.done()
        if done is None or not changes.keys() - {"workers"}:
            return None if done is None else str(done["reason"])
        checkpoint = load_checkpoint(checkpoints(directory.checkpoints)[-1])
        return directory.config().train.reason_to_stop(checkpoint.generation, checkpoint.counters)
    return None


def _launch(
    directory: RunDirectory,
    config: RunConfig,
    workers: int,
    stop: StopRequest,
    changes: Mapping[str, object] = MappingProxyType({}),
) -> int:
    """Start local ranks for the run, show its progress, and judge it by its records."""
    num_starts = len(directory.starts())
    with Display(config, directory.path, stop=stop) as display:
        launch(directory, workers, stop, display, changes)
    return report_end(directory, num_starts, config.train.quiet, bool(stop))


def launch(
    directory: RunDirectory,
    workers: int,
    stop: StopRequest,
    display: Display,
    changes: Mapping[str, object] = MappingProxyType({}),
    caller: Caller | None = None,
) -> None:
    """Carry a run out on local ranks, and wait for their end.

    Args:
        directory: the run, whose writer the ranks become.
        workers: their number.
        stop: set by signals.
        display: shows the rows.
        changes: shared settings that this start changes.
        caller: from Python.
    """
    num_starts = len(directory.starts())
    after = int((directory.newest_checkpoint() or "0").partition("+")[0])
    path = str(directory.path.resolve())
    arguments = ["resume", path, "--trust-modules", *flags_from(changes)]
    show = showing(directory, display, num_starts, after)
    with suppress(Interrupted):
        run_ranks(workers, arguments, stop, show, caller=caller)
    if not stop:
        draw_last(directory, directory.config())


def shared_config(world: World, config: RunConfig | None) -> RunConfig:
    """The master's configuration on every rank."""
    record = None if config is None else config.to_json()
    return RunConfig.from_json(world.broadcast(record, dict[str, Any]))


def _run_here(
    world: World, directory: RunDirectory | None, config: RunConfig | None, stop: StopRequest
) -> int:
    """Train on the ranks of ``world``; the master keeps the records."""
    config = shared_config(world, config)
    if not world.is_master or directory is None:
        run(world, config, None, stop)
        return DONE

    directory.add_start(world.num_workers)
    display = choose_display(directory, config, stop)

    def note_compiling() -> None:
        directory.note(compiled=True)
        display.compiling()

    with display, on_compiling(note_compiling):
        callbacks: tuple[Callback, ...] = (display, *remote_callbacks())
        result = run_and_note(world, config, directory, stop, callbacks)

    outcome = "done" if result.finished else "stopped"
    if not launched_by_us():  # a launcher of ours prints it
        print_outcome(directory, outcome, config.train.quiet)
    return OUTCOMES[outcome]
