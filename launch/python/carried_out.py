"""Runs for a caller from Python: in this process or on local workers, with the caller's callbacks,
interrupts that leave a checkpoint, and errors as exceptions.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar

from esengine.compiled import on_compiling
from esengine.errors import CallbackRaised, Interrupted, RanksFailed, UserError, WorkerError
from esengine.launch.mpirun.caller import Caller, CallerOf
from esengine.launch.mpirun.local_ranks import find_mpirun
from esengine.launch.runs.outcomes import BAD_INPUT
from esengine.launch.runs.result import RunResult, result_of
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.runs.run_lock import wait_until_free
from esengine.launch.settings.config import RunConfig
from esengine.launch.terminal.notebook import display_for
from esengine.launch.training.isolation import fork_early
from esengine.launch.training.loop import Callback
from esengine.launch.training.run import run, run_and_note
from esengine.launch.training.start_and_resume import launch
from esengine.ranks import StopRequest, World
from esengine.ranks.launch_variables import is_launched
from esengine.user_code import pack_objects

T = TypeVar("T")
_PATIENCE_S = 60.0  # for a process that saves


class Stopped(KeyboardInterrupt):
    """Ctrl-C, or the interrupt of a notebook's kernel, stopped a run; the message says how to
    resume it.

    Attributes:
        result: how far the run has come, or None.
    """

    def __init__(self, message: str, result: RunResult | None = None) -> None:
        super().__init__(message)
        self.result = result

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the sentence alone."""
        return [str(self)]


def on_every_rank(world: World, result: RunResult | None) -> RunResult:
    """The master's result on every rank, with the run directory."""
    run = None if result is None else result.run
    path = world.broadcast(None if run is None else str(run.path), str | None)
    plain = None if result is None else replace(result, run=None)
    shared = world.broadcast(plain, RunResult)
    if result is not None:
        return result
    return shared if path is None else replace(shared, run=RunDirectory(Path(path), trusted=True))


def run_here(
    world: World, config: RunConfig, directory: RunDirectory, callbacks: Sequence[Callback]
) -> RunResult:
    """Carry a run out on the ranks that this process has. Raises what ends the run."""
    directory.add_start(world.num_workers)
    with interrupts_handled() as stop:
        display = display_for(config, directory.path, stop)

        def note_compiling() -> None:
            directory.note(compiled=True)
            display.compiling()

        own = tuple(map(_wrapped, callbacks))
        try:
            with display, on_compiling(note_compiling):
                result = run_and_note(world, config, directory, stop, (display, *own))
        except CallbackRaised as raised:
            raise raised.error from raised.error.__cause__
    if stop:
        _raise_stopped(stop, directory, result)
    return result


def run_on_workers(
    directory: RunDirectory,
    config: RunConfig,
    workers: int,
    callbacks: Sequence[Callback],
    changes: Mapping[str, object] = MappingProxyType({}),
) -> RunResult:
    """Carry a run out on local workers, which this process starts. Raises what ends the run.

    Args:
        directory: the run.
        config: its settings.
        workers: their number.
        callbacks: called here.
        changes: settings that this start changes.
    """
    num_starts = len(directory.starts())
    try:
        find_mpirun()
        objects = pack_objects(name.rstrip(":") for name in config.modules)
    except UserError:
        directory.release()
        directory.remove_if_bare()
        raise
    with interrupts_handled() as stop:
        display = display_for(config, directory.path, stop)
        caller = Caller(callbacks, objects)
        directory.release()  # the master of the workers becomes the writer
        with display:
            launch(directory, workers, stop, display, changes, caller)
        wait_until_free(directory.folder, _PATIENCE_S)

    if caller.error is not None:
        raise caller.error
    starts = directory.starts()
    outcome = starts[-1].get("outcome") if len(starts) > num_starts else None
    if outcome == "done":
        return result_of(directory)
    if stop:
        _raise_stopped(stop, directory, None)
    if caller.message is not None:
        kind = UserError if outcome == "refused" else WorkerError
        raise kind(caller.message)
    raise WorkerError(
        f"the workers of {directory.path} ended early; their messages are on standard error, and "
        f"esengine.resume({str(directory.path)!r}) goes on from the newest checkpoint"
    )


def run_in_memory(
    config: RunConfig, callbacks: Sequence[Callback], objective: Callable[..., Any]
) -> RunResult:
    """Minimise in memory, on the ranks that this process has. Raises what ends the search."""
    rows: list[dict[str, Any]] = []
    fork_early(config, objective)
    world = World()
    with interrupts_handled() as stop:
        shown = config if world.is_master else config.with_train(quiet=True)
        display = display_for(shown, Path("in memory"), stop)
        own: tuple[Callback, ...] = (rows.append, display, *map(_wrapped, callbacks))
        try:
            with display:
                found = run(world, config, None, stop, own, objective)
        except CallbackRaised as raised:
            raise raised.error from raised.error.__cause__
    result = replace(on_every_rank(world, found), rows=tuple(rows))
    if stop:
        _raise_stopped(stop, None, result)
    return result


def answered(work: Callable[[StopRequest, CallerOf], T]) -> T:
    """What work returns that may start workers. Interrupts end it.

    Args:
        work: takes the request to stop, and what makes the caller for the workers.

    Raises:
        UserError, WorkerError: with the message of the workers.
        Stopped: Ctrl-C.
    """
    callers: list[Caller] = []

    def make(names: Sequence[str]) -> Caller:
        callers.append(Caller((), pack_objects(name.rstrip(":") for name in names)))
        return callers[0]

    with interrupts_handled() as stop:
        try:
            return work(stop, make)
        except Interrupted:
            pass
        except RanksFailed as failed:
            message = callers[0].message if callers else None
            kind = UserError if failed.status == BAD_INPUT else WorkerError
            text = message or "the workers ended early; see standard error"
            raise kind(text) from None
    _raise_stopped(stop, None, None)


@contextmanager
def interrupts_handled() -> Iterator[StopRequest]:
    """A request to stop that the signals set within the ``with`` block. A rank of an mpirun keeps
    its own handlers.
    """
    stop = StopRequest()
    if is_launched():
        yield stop
        return
    with stop.handling():
        yield stop


def _wrapped(callback: Callback) -> Callback:
    """A callback of the caller, whose errors can be told from those of the engine."""

    def called(row: dict[str, Any]) -> object:
        try:
            return callback(row)
        except BaseException as error:
            raise CallbackRaised(error) from error

    return called


def _raise_stopped(
    stop: StopRequest, directory: RunDirectory | None, result: RunResult | None
) -> NoReturn:
    """Raises Stopped after Ctrl-C. After another signal, this process gets that once more, with its
    own handlers.
    """
    if stop.received != "SIGINT":
        os.kill(os.getpid(), signal.Signals[str(stop.received)])
    if directory is None and result is None:
        raise Stopped("stopped")
    if directory is None:
        raise Stopped(
            "stopped; the result so far is the attribute result of this exception", result
        )
    if directory.newest_checkpoint() is None:
        raise Stopped(f"stopped before the first checkpoint of {directory.path}; start again")
    where = str(directory.path)
    raise Stopped(f"stopped with a checkpoint; resume with: esengine.resume({where!r})", result)
