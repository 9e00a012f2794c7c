"""Starting and resuming a run: in this process, on local ranks, or on the ranks of a launch that this process is in."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from esengine.checkpoint import checkpoints, load_newest
from esengine.errors import UserError
from esengine.interrupts import StopRequest
from esengine.launch.build import build_problem, initial_row
from esengine.launch.config import RunConfig
from esengine.launch.display import Display
from esengine.launch.follower import Follower
from esengine.launch.local_mpi import default_ranks, find_mpirun, launched_by_us, must_launch, run_ranks
from esengine.launch.methods import check_torch, loop_of
from esengine.launch.run_directory import RunDirectory, default_path
from esengine.launch.training import run
from esengine.noise import check_table_room, table_log2
from esengine.trust import check_trusted
from esengine.world import World

DONE, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 75  # exit statuses; 75 is EX_TEMPFAIL
OUTCOMES = {"done": DONE, "stopped": STOPPED, "failed": FAILED, "refused": BAD_INPUT}


def start(config: RunConfig, stop: StopRequest) -> int:
    """Begin a new run and see it to its end; returns the exit status.

    Raises:
        UserError: the settings or the run directory are no good; nothing has been started.
    """
    config = completed(config)
    path = config.train.run_dir or default_path(config)
    ranks = config.train.ranks or default_ranks()
    if must_launch(ranks, config.train.member_timeout):
        find_mpirun()
        return _launch(prepare(config, path, shared_memory=True), config, ranks, stop)
    world = World()
    directory = world.agree(lambda: prepare(config, path, world.size > 1).acquire() if world.is_master else None)
    return _run_here(world, directory, config, stop)


def resume(path: Path, changes: dict[str, object], quiet: bool, trusted: bool, stop: StopRequest) -> int:
    """Go on with a run, with some shared settings changed; returns the exit status.

    Args:
        path: the run directory.
        changes: shared settings to change for good.
        quiet: print nothing but errors, this time.
        trusted: import modules that the run's files name.
        stop: tells of signals.

    Raises:
        UserError: the folder is no run, another process writes there, or the run names a module that is not trusted.
    """
    world = World()
    directory = world.agree(lambda: _reopen(path, changes, trusted) if world.is_master else None)
    if directory is None:
        return _run_here(world, None, None, stop)
    config = directory.config().with_train(quiet=quiet)
    ranks = config.train.ranks or default_ranks()
    if must_launch(ranks, config.train.member_timeout):
        find_mpirun()
        directory.release()
        return _launch(directory, config, ranks, stop)
    return _run_here(world, directory, config, stop)


def completed(config: RunConfig) -> RunConfig:
    """The settings with what a method can tell from its own, such as the environment from demonstrations, or files hold."""
    check_torch(config.method)
    loop = loop_of(config.method)
    return config.with_train(**config.train.read_files()) if loop is None else loop.complete(config)


def prepare(config: RunConfig, path: Path, shared_memory: bool) -> RunDirectory:
    """Check everything that can be checked before ranks start, and make the run's folder.

    Args:
        config: the settings.
        path: the folder to make.
        shared_memory: whether the noise table will lie in this node's shared memory.

    Raises:
        UserError: something is no good; nothing has been made.
    """
    loop = loop_of(config.method)
    if loop is not None:
        return _with_own_files(loop.prepare(config, path), config)
    config.check()
    problem = build_problem(config)
    strategy = config.strategy(initial_row(config.train, problem))
    log2 = table_log2(config.train.noise_table_size, problem.dimension, strategy.population_size)
    if shared_memory:
        check_table_room(log2, problem.dimension)
    return _with_own_files(RunDirectory.create(path, config), config)


def _with_own_files(directory: RunDirectory, config: RunConfig) -> RunDirectory:
    """The run's folder with copies of the files that it begins from: it must not depend on a file elsewhere."""
    if config.train.init_policy is not None:
        directory.adopt_policy(config.train.init_policy)
    for name in ("reward", "potential"):
        file = getattr(config.train, name)
        if file is not None:
            directory.adopt_reward(name, file)
    return directory


def _reopen(path: Path, changes: dict[str, object], trusted: bool) -> RunDirectory:
    directory = RunDirectory.open(path, trusted).acquire()
    try:
        config = directory.config().with_train(**changes)
        if not trusted:
            check_trusted(path, *config.modules)
        config.check()
        check_torch(config.method)
        directory.change_config(config)
    except UserError:
        directory.release()
        raise
    return directory


def _launch(directory: RunDirectory, config: RunConfig, ranks: int, stop: StopRequest) -> int:
    """Start local ranks that carry the run out, show its progress, and judge it by its records."""
    num_starts = len(directory.starts())
    newest = checkpoints(directory.checkpoints)
    shown = int(newest[-1].name.split("+")[0]) if newest else 0
    arguments = ["resume", str(directory.path.resolve()), "--trust-modules"]
    with Display(config, directory.path) as display:
        run_ranks(ranks, arguments, stop, Follower(directory.path, display, shown))
    directory.wait_for_writer()
    starts = directory.starts()
    outcome = starts[-1].get("outcome") if len(starts) > num_starts else None
    if outcome is None:
        return _judge_lost(directory, started=len(starts) > num_starts)
    if outcome == "done":
        _print_done(directory, config.train.quiet)
    elif outcome == "stopped":
        _print_stopped(directory, config.train.quiet)
    return OUTCOMES[outcome]


def _judge_lost(directory: RunDirectory, started: bool) -> int:
    """The ranks ended without a word: they never started, or were killed."""
    checkpoint = load_newest(directory.checkpoints) if started else None
    if checkpoint is None:
        when = "before the first checkpoint" if started else "before they had started"
        print(f"esengine: the ranks ended {when}; see their messages above", file=sys.stderr)
        return FAILED
    try:
        directory.check_writable()
    except OSError as error:  # to be resumed would only be to fail again
        print(
            f"esengine: the ranks ended early, and {directory.path} cannot be written: {error.strerror}; a checkpoint of "
            f"generation {checkpoint.generation} is whole; make room, then resume the run",
            file=sys.stderr,
        )
        return FAILED
    print(
        f"esengine: the ranks ended early; a checkpoint of generation {checkpoint.generation} is whole; go on with: "
        f"esengine resume {shlex.quote(str(directory.path))}",
        file=sys.stderr,
    )
    return STOPPED


def _run_here(world: World, directory: RunDirectory | None, config: RunConfig | None, stop: StopRequest) -> int:
    """Carry a run out on the ranks of ``world``; the master keeps the records."""
    config = RunConfig.from_json(world.broadcast(config.to_json() if config is not None else None))
    if not world.is_master or directory is None:
        run(world, config, None, stop)
        return DONE
    directory.add_start(world.size)
    outcome = "failed"
    try:
        if launched_by_us():
            result = run(world, config, directory, stop)
        else:
            with Display(config, directory.path) as display:
                result = run(world, config, directory, stop, (display,))
        assert result is not None
        outcome = "done" if result.finished else "stopped"
    except UserError:
        outcome = "refused"
        raise
    finally:
        directory.end_start(outcome)
        directory.release()
    if not launched_by_us():  # else the launcher prints
        (_print_done if result.finished else _print_stopped)(directory, config.train.quiet)
    return OUTCOMES[outcome]


def _print_done(directory: RunDirectory, quiet: bool) -> None:
    if quiet:
        return
    done = directory.done() or {}
    print(f"finished: {done['reason']}")
    if directory.config().train.objective is None and done["final_return"] is None:
        print("every episode of the final evaluation failed; failures.jsonl tells why")
    elif done["final_return"] is not None:
        print(f"return {done['final_return']:.2f} over {directory.config().train.final_episodes} fresh episodes")
    else:
        best = directory.best()
        print(f"best value {best['value']:.6g} in {directory.path / 'best.json'}")
    print(f"run directory {directory.path}", flush=True)


def _print_stopped(directory: RunDirectory, quiet: bool) -> None:
    if not quiet:
        print(f"stopped with a checkpoint; go on with: esengine resume {shlex.quote(str(directory.path))}", flush=True)
