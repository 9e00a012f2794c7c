"""The same from Python: `train`, `resume`, `minimize`, `evaluate`, `collect`, `load_run` and
`run_search`.

Each works in the calling process, or on local workers with ``workers``. In a script under
``mpirun`` every rank calls it together: workers serve until the master is done, and every rank gets
the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, TypeVar

import gymnasium
import numpy as np
from numpy.typing import ArrayLike

from esengine.checks import arguments_named
from esengine.demonstrations import Demonstrations
from esengine.errors import UserError, listed
from esengine.launch.demonstrations.collecting import CollectSettings, collected
from esengine.launch.mpirun.local_ranks import must_launch
from esengine.launch.python.arguments import (
    as_settings,
    callbacks_of,
    config_of,
    given_again,
    names_of,
)
from esengine.launch.python.carried_out import (
    answered,
    on_every_rank,
    run_here,
    run_in_memory,
    run_on_workers,
)
from esengine.launch.python.signatures import takes_settings
from esengine.launch.results.evaluation import EvaluateSettings, Evaluation, evaluated
from esengine.launch.runs.result import RunResult, in_memory, path_of, result_of
from esengine.launch.runs.run_directory import RunDirectory, default_path
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.groups import BudgetSettings
from esengine.launch.settings.settings_values import settings_from
from esengine.launch.settings.train_settings import TrainSettings
from esengine.launch.terminal.notebook import shows_progress
from esengine.launch.training.isolation import fork_early
from esengine.launch.training.loop import Callback
from esengine.launch.training.run import completed, prepare, run
from esengine.launch.training.start_and_resume import reason_not_to_go_on, reopen, shared_config
from esengine.noise import table_log2
from esengine.policies import Policy
from esengine.pool import Built, Pool, on_all_ranks
from esengine.problems import Problem
from esengine.ranks import World, values

T = TypeVar("T")
Environment = str | gymnasium.Env[Any, Any] | Callable[..., gymnasium.Env[Any, Any]]
"""An id, an environment, which is copied, or a function or class that makes one."""


@arguments_named()
@takes_settings(TrainSettings, without=("env_id",))
def train(
    method: str,
    env: Environment | None = None,
    *,
    objective: Callable[..., Any] | str | None = None,
    generations: int | None = None,
    population_size: int | None = None,
    seed: int = 0,
    run_dir: str | Path | None = None,
    workers: int = 1,
    callbacks: Callback | Sequence[Callback] = (),
    quiet: bool | None = None,
    **settings: Any,
) -> RunResult:
    """Train a policy, or optimise a function, and keep the run in its directory.

    Args:
        method: as on the command line, or ``module:Class`` for a custom strategy.
        env: the environment: an id, a function that makes one, or an environment, which is copied.
        objective: in place of an environment: maps (dimension,) float64, and a keyword ``seed`` if
            it is noisy, to a number; or ``module:function``.
        generations: stop after this many; without any budget, 100 in environments.
        population_size: members per generation; default the method's own.
        seed: of every random number.
        run_dir: the folder of the run; default a new one in ``runs``.
        workers: processes that evaluate; 1 is this process. The result does not depend on it.
        callbacks: a function, or several, called here after every generation with its row of
            metrics; one that returns True ends the run in order, one that raises ends it with its
            exception and a checkpoint.
        quiet: show no progress; default False in a terminal or a notebook.
        **settings: all other flags of ``esengine train METHOD --help-all``, with underscores.
            Functions, dictionaries, arrays, policies and demonstrations stand for the texts and
            files of the command line.

    Raises:
        UserError: a setting is unknown or out of range, or the run directory is in use.
        WorkerError: too many members raised; its cause is the first one's exception.
        Stopped: Ctrl-C, a `KeyboardInterrupt`; a checkpoint is saved.
    """
    callbacks = callbacks_of(callbacks)
    if not isinstance(method, str):
        raise UserError(
            f"method must be a name, got {method!r:.80}; an environment is the second argument, as "
            f"in train('cma-es', env)"
        )
    named: dict[str, Any] = {"env": env, "objective": objective, "generations": generations}
    named |= {"seed": seed, "population_size": population_size, "run_dir": run_dir}
    named["workers"] = None if "ranks" in settings else workers
    values = {**named, **settings, "quiet": _quiet(quiet)}
    with as_settings(values, names_of(method), f"esengine train {method} --help-all") as given:
        config = completed(config_of(method, given))
        path = config.train.run_dir or default_path(config)
        launched = must_launch(config.train.workers or 1, config.worker_timeout)
        fork_early(config)
        world = World()
        directory = world.agree(
            lambda: prepare(config, path, launched or world.size > 1) if world.is_master else None
        )
        config = shared_config(world, None if directory is None else directory.config())
    return _carried_out(world, directory, config, callbacks)


@arguments_named()
@takes_settings(BudgetSettings)
def resume(
    run_dir: str | Path | RunResult,
    *,
    env: Environment | None = None,
    objective: Callable[..., Any] | None = None,
    expert: Callable[..., Any] | None = None,
    policy: Callable[..., Any] | None = None,
    workers: int = 1,
    callbacks: Callback | Sequence[Callback] = (),
    quiet: bool | None = None,
    trust_modules: bool = False,
    **budgets: Any,
) -> RunResult:
    """Resume a run that was stopped or killed, or give a finished one a larger budget. The result
    is that of a run that was never stopped.

    Args:
        run_dir: the run directory, or the result of a run.
        env, objective, expert, policy: those that the run was begun with, if they were Python
            objects and this is another process.
        workers: see `train`.
        callbacks: see `train`.
        quiet: see `train`.
        trust_modules: import modules that only the run's files name, which runs their code.
        **budgets: ``generations``, ``max_env_steps``, ``max_evaluations``, ``max_time`` and
            ``target_return``; those that are not given stay as they were.

    Raises:
        UserError: the folder holds no run, or a setting is unknown or out of range.
        WorkerError: too many members raised.
        Stopped: Ctrl-C; a checkpoint is saved.
    """
    path, callbacks = path_of(run_dir), callbacks_of(callbacks)
    given_again(path, {"env_id": env, "objective": objective, "expert": expert, "policy": policy})
    known = {"workers", *BudgetSettings.__dataclass_fields__}
    with as_settings({"workers": workers, **budgets}, known, "esengine resume --help") as changes:
        world = World()
        directory = world.agree(
            lambda: reopen(path, changes, trust_modules) if world.is_master else None
        )
    found = None if directory is None else reason_not_to_go_on(directory, changes)
    if world.broadcast(found, str | None):
        if directory is not None:
            directory.release()
        return on_every_rank(world, None if directory is None else result_of(directory))

    config = shared_config(world, None if directory is None else directory.config())
    config = config.with_train(quiet=_quiet(quiet))
    return _carried_out(world, directory, config, callbacks, changes)


@arguments_named()
@takes_settings(TrainSettings, without=("env_id", "env_arg", "env_wrapper", "run_dir", "objective"))
def minimize(
    objective: Callable[..., Any],
    x0: ArrayLike | int | None = None,
    sigma: float | None = None,
    *,
    dimension: int | None = None,
    method: str = "cma-es",
    population_size: int | None = None,
    seed: int = 0,
    workers: int = 1,
    callbacks: Callback | Sequence[Callback] = (),
    quiet: bool | None = None,
    **settings: Any,
) -> RunResult:
    """Minimise a function in memory.

    Args:
        objective: maps (dimension,) float64, and a keyword ``seed`` if it is noisy, to a cost, or
            to the columns of the setting ``returns``.
        x0: where the search starts, or the number of parameters.
        sigma: the initial step size; default the method's own.
        dimension: number of parameters, if ``x0`` is not given.
        method: as on the command line.
        population_size: members per generation; default the method's own.
        seed: of every random number.
        workers: processes that evaluate; 1 is this process. The result does not depend on it.
        callbacks: see `train`.
        quiet: show no progress; default False in a terminal or a notebook.
        **settings: all other flags, with underscores: ``lower_bound``, ``upper_bound``,
            ``target_return``, ``max_evaluations``, ...

    Returns:
        The result; ``best_point`` and ``best_value`` are the best that was evaluated,
        ``parameters`` the final mean. The value of a noisy objective is a mean over new seeds.

    Raises:
        UserError: a setting is unknown or out of range.
        WorkerError: too many members raised; its cause is the first one's exception.
        Stopped: Ctrl-C; its ``result`` holds the best so far.
    """
    kept = sorted({"run_dir", "env", "env_id", "keep_members"} & set(settings))
    if kept:
        raise UserError(
            f"minimize works in memory and takes a function, got {listed(kept)}; use "
            f"esengine.train for a run"
        )
    callbacks = callbacks_of(callbacks)
    if isinstance(x0, int):
        dimension, x0 = x0, None
    if x0 is not None:
        settings |= {"initial_mean": np.asarray(x0, np.float64).ravel()}
        dimension = dimension or len(settings["initial_mean"])
    named: dict[str, Any] = {
        "objective": objective,
        "dimension": dimension,
        "minimize": True,
        "seed": seed,
    }
    named |= {"sigma": sigma, "population_size": population_size}
    named["workers"] = None if "ranks" in settings else workers

    values = {**named, **settings, "quiet": _quiet(quiet)}
    with as_settings(values, names_of(method), f"esengine train {method} --help-all") as given:
        config = config_of(method, given)
        config.check()
        if not must_launch(config.train.workers or 1, config.worker_timeout):
            return run_in_memory(config, callbacks, objective)
        with TemporaryDirectory(prefix="esengine-") as folder:
            config = completed(config)
            directory = prepare(config, Path(folder, "run"), shared_memory=True)
            return in_memory(
                run_on_workers(directory, config, config.train.workers or 1, callbacks)
            )


@arguments_named()
@takes_settings(EvaluateSettings, without=("json",))
def evaluate(
    policy: str | Path | Policy | RunResult,
    episodes: int = 100,
    seed: int = 0,
    *,
    env: Environment | None = None,
    network: Callable[..., Any] | None = None,
    workers: int = 1,
    trust_modules: bool = False,
    **settings: Any,
) -> Evaluation:
    """Evaluate a policy on fresh starts.

    Args:
        policy: a run directory, a policy file, a policy, or the result of a run.
        episodes: their number.
        seed: of the start states.
        env: the environment, if the policy was trained in a Python object in another process.
        network: the class of the network, likewise.
        workers: processes that run episodes; 1 is this process.
        trust_modules: import the module to which the policy's file refers, which runs its code.
        **settings: ``rules`` and the flags about failing members, with underscores.

    Raises:
        UserError: there is no such policy.
        WorkerError: too many episodes failed.
    """
    if not isinstance(policy, str | Path | Policy | RunResult):
        raise UserError(
            f"policy must be a run directory, a policy file, a policy or a result, got "
            f"{policy!r:.80}; evaluate several one by one, whose episodes of one seed are the same"
        )
    named: dict[str, Any] = {
        "policy": policy,
        "episodes": episodes,
        "seed": seed,
        "trust_modules": trust_modules,
    }
    named["workers"] = None if "ranks" in settings else workers
    known = {"policy", *EvaluateSettings.__dataclass_fields__} - {"json"}
    with as_settings({**named, **settings}, known, "esengine evaluate --help") as given:
        path = Path(given.pop("policy"))
        given_again(path, {"env_id": env, "policy": network})
        chosen = settings_from(EvaluateSettings, given)
        number = chosen.workers or 1
        found = answered(lambda stop, caller: evaluated(path, chosen, number, stop, caller))
        return World().broadcast(found, Evaluation)


@arguments_named()
@takes_settings(CollectSettings, without=("env_id", "out"))
def collect(
    env: Environment | None = None,
    *,
    expert: Callable[[Any], Any] | str | None = None,
    policy: str | Path | Policy | RunResult | None = None,
    episodes: int = 10,
    seed: int = 0,
    workers: int = 1,
    quiet: bool | None = None,
    **settings: Any,
) -> Demonstrations:
    """Record demonstrations.

    Args:
        env: the environment, see `train`; default that of the policy.
        expert: a function of the observation, an expert object or class, or ``module:name``.
        policy: a policy that demonstrates, in place of an expert.
        episodes: how many to keep.
        seed: of every random number.
        workers: processes that record; 1 is this process.
        quiet: report nothing while it lasts.
        **settings: all other flags of ``esengine collect --help``, with underscores, except
            ``out``.

    Returns:
        The demonstrations, which `save_demonstrations` writes to a file.

    Raises:
        UserError: a setting is unknown or out of range, or too few episodes are good enough.
        WorkerError: the environment or the expert raised.
    """
    if "out" in settings:
        raise UserError(
            "collect works in memory and returns the demonstrations, got out; use "
            "esengine.save_demonstrations for a file"
        )
    named: dict[str, Any] = {
        "env": env,
        "expert": expert,
        "policy": policy,
        "episodes": episodes,
        "seed": seed,
    }
    named |= {"workers": None if "ranks" in settings else workers, "quiet": _quiet(quiet)}
    fields = CollectSettings.__dataclass_fields__
    with as_settings({**named, **settings}, fields, "esengine collect --help") as given:
        chosen = settings_from(CollectSettings, given)
        number = chosen.workers or 1
        found = answered(lambda stop, caller: collected(chosen, number, stop, caller))
        return World().broadcast(found, Demonstrations)


def load_run(run_dir: str | Path) -> RunResult:
    """The result of a run from its directory, also of one that has not finished.

    Raises:
        UserError: the folder holds no run, or one without a checkpoint.
    """
    return result_of(RunDirectory.open(Path(run_dir)))


@arguments_named()
def run_search(
    search: Callable[[Pool], T],
    problem: Problem,
    noise_table_size: int | None = None,
) -> T:
    """Run a custom ask/tell loop on all ranks.

    The strategy's seed decides which numbers of the noise table a member gets. The table itself is
    filled from the problem's seed, if it has one.

    Args:
        search: called on the master with the pool. What it returns is the result on every rank if
            it consists of numbers, texts, arrays, lists and dictionaries (a tuple arrives as a
            list). Otherwise it is the result on the master, and the other ranks return None.
        problem: what members are evaluated on, the same on every rank.
        noise_table_size: numbers in the table, a power of two, or 0 for computed noise.
    """
    world = World()

    def build() -> Built[None]:
        log2 = table_log2(noise_table_size, problem.dimension, 1)
        return Built(problem, None, log2, getattr(problem, "seed", 0))

    result = on_all_ranks(world, build, lambda pool, _: search(pool))
    shared = result if values.can_encode(result) else None
    received = world.broadcast(shared, Any)
    return result if world.is_master else received  # type: ignore[return-value]


def _carried_out(
    world: World,
    directory: RunDirectory | None,
    config: RunConfig,
    callbacks: Sequence[Callback],
    changes: Mapping[str, object] = MappingProxyType({}),
) -> RunResult:
    """Carry a run out, on workers or on the ranks that there are; ``changes`` are those of a
    resumed run.
    """
    if directory is None:
        return on_every_rank(world, run(world, config, None))
    workers = config.train.workers or 1
    if must_launch(workers, config.worker_timeout):
        return run_on_workers(directory, config, workers, callbacks, changes)
    return on_every_rank(world, run_here(world, config, directory, callbacks))


def _quiet(quiet: bool | None) -> bool:
    """Whether to show no progress."""
    return not shows_progress() if quiet is None else quiet
