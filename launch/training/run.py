"""How a run of any method is prepared and carried out on all ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from esengine.errors import CallbackRaised, UserError
from esengine.launch.mpirun.local_ranks import launched_by_us
from esengine.launch.runs.charts import draw_last
from esengine.launch.runs.result import RunResult
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.methods import check_torch
from esengine.launch.training.isolation import isolated_members
from esengine.launch.training.loop import Callback, Training
from esengine.launch.training.method_run import method_run
from esengine.launch.training.restoring import check_environment
from esengine.launch.training.trial import tried
from esengine.noise import TableNeed
from esengine.noise.table import check_table_room
from esengine.pool import Built, FaultRules, Part, Pool, on_all_ranks
from esengine.programs import bind_worker
from esengine.ranks import StopRequest, World
from esengine.user_code import check_trusted, environments_closed


def completed(config: RunConfig) -> RunConfig:
    """The settings with those that follow from files. Raises UserError for settings that the method
    does not read.
    """
    check_torch(config.method)
    config.refuse_unread()
    return method_run(config).completed()


def prepare(config: RunConfig, path: Path, shared_memory: bool) -> RunDirectory:
    """Check everything that can be checked before ranks start, try the environment or the
    objective, and make the run's folder.

    Args:
        config: the settings.
        path: the folder to make.
        shared_memory: whether the noise table will lie in this node's shared memory.

    Raises:
        UserError: something is invalid; nothing has been made.

    Returns:
        The run directory, whose one writer is this process.
    """
    config.check()
    chosen = method_run(config)
    with environments_closed():
        built = chosen.check()
    if shared_memory:
        check_table_room([TableNeed(config.train.seed, built.log2_size, built.problem.dimension)])

    remarks = tried(config.train, built.problem)
    check_trusted(path, *config.modules, trusted=True)
    return RunDirectory.create(path, config, chosen.copy_files, remarks, stay_writer=True)


def run(
    world: World,
    config: RunConfig,
    directory: RunDirectory | None,
    stop: StopRequest | None = None,
    callbacks: tuple[Callback, ...] = (),
    objective: Callable[..., Any] | None = None,
) -> RunResult | None:
    """Train on all ranks; every rank calls it with the same settings. Workers return None when the
    master is done.

    Args:
        world: the ranks.
        config: the settings, the same on every rank.
        directory: where the master keeps the run and resumes it from, or None to keep it in memory.
        stop: set by signals.
        callbacks: called on the master after every generation.
        objective: the function itself, when it comes from Python instead of by name.

    Raises:
        UserError: invalid settings, or shared memory without room.
        WorkerError: too many members of a generation failed; a checkpoint holds the state before
            it.
    """
    if config.train.cores_per_worker > 1:
        bind_worker(world, config.train.cores_per_worker)
    part = part_of(world, config, directory, callbacks, objective)
    return on_all_ranks(world, part.build, part.work, stop, rules_of(config), part.isolated)


def rules_of(config: RunConfig) -> FaultRules:
    """The rules for members and workers that fail."""
    rules = config.train.part(FaultRules)
    if config.train.command is not None:
        rules = replace(rules, member_timeout=None)  # programs are killed alone
    return rules


def part_of(
    world: World,
    config: RunConfig,
    directory: RunDirectory | None,
    callbacks: tuple[Callback, ...],
    objective: Callable[..., Any] | None = None,
) -> Part[Any, RunResult]:
    """What all ranks build for a run, and what the master does; arguments as of `run`."""
    chosen = method_run(config, objective)

    def build() -> Built[Any]:
        try:
            return chosen.build(world.is_master)
        except UserError:
            # what the run began from fits its environment no more, which is not said of a file
            if directory is not None and config.train.env_id is not None:
                check_environment(directory, config.train.environment())
            raise

    def train(pool: Pool, method: Any) -> RunResult:
        loop: Training = chosen.loop(pool, config, directory, method, callbacks)
        return loop.run()

    return Part(build, train, isolated_members(world, config, objective))


def run_and_note(
    world: World,
    config: RunConfig,
    directory: RunDirectory,
    stop: StopRequest | None,
    callbacks: tuple[Callback, ...],
) -> RunResult:
    """`run` on the master, whose start has been noted in the run's record; notes how it ended, and
    gives up writing.
    """
    with noting(directory, config, stop) as note:
        result = run(world, config, directory, stop, callbacks)
        assert result is not None
        return note(result)


@contextmanager
def noting(
    directory: RunDirectory, config: RunConfig, stop: StopRequest | None
) -> Iterator[Callable[[RunResult], RunResult]]:
    """A context after which the run's record says how its start ended, and this process no longer
    writes there. What it gives is called with the result.
    """
    outcome = "failed"

    def note(result: RunResult) -> RunResult:
        nonlocal outcome
        outcome = "done" if result.finished else "stopped"
        return result

    try:
        yield note
    except UserError:
        outcome = "refused"
        raise
    except CallbackRaised:
        outcome = "stopped"
        raise
    finally:
        directory.note(outcome=outcome)
        signalled = stop is not None and stop.received is not None
        ends = outcome == "done" and not signalled
        if (ends or not stop) and not launched_by_us():  # our launcher draws, once ranks are gone
            draw_last(directory, config)
        directory.release()
