"""The same from Python: `minimize`, `train`, `evaluate`, `collect` and `run_search`.

Alone, each runs in the calling process. In a script under ``mpirun`` every rank calls it together:
workers serve until the master is done, and every rank gets the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from esengine.checks import arguments_named
from esengine.demonstrations import Demonstrations
from esengine.errors import UserError, WorkerError, listed
from esengine.launch.demonstrations.collecting import CollectSettings, collect_on
from esengine.launch.mpirun.local_ranks import must_launch
from esengine.launch.results.evaluation import EvaluateSettings, Evaluation, evaluate_on
from esengine.launch.runs.outcomes import DONE
from esengine.launch.runs.run_directory import RunDirectory, default_path
from esengine.launch.settings.config import RunConfig, TrainSettings
from esengine.launch.settings.methods import defaults_of, settings_of
from esengine.launch.settings.settings_values import settings_from
from esengine.launch.training.loop import Callback, RunResult
from esengine.launch.training.run import completed, prepare, run, run_and_note
from esengine.launch.training.start_and_resume import start
from esengine.noise import table_log2
from esengine.policies import load_policy
from esengine.pool import Built, Pool, on_all_ranks
from esengine.problems import Problem
from esengine.ranks import StopRequest, World

T = TypeVar("T")


@arguments_named()
def minimize(
    objective: Callable[..., Any],
    dimension: int,
    method: str = "cma-es",
    callbacks: Sequence[Callback] = (),
    **settings: Any,
) -> RunResult:
    """Minimise a function.

    Args:
        objective: maps (dimension,) float64, and a keyword ``seed`` if it is noisy, to a cost, or
            to the columns of the setting ``returns``; raising ends the search with that error.
        dimension: number of parameters.
        method: as on the command line.
        callbacks: called with the row of metrics after every generation, on the master.
        **settings: any flags, with underscores: ``sigma``, ``population_size``, ``seed``,
            ``target_return``, ...

    Returns:
        The result; ``best_point`` and ``best_value`` are the best that was evaluated,
        ``parameters`` the final mean. The value of a noisy objective is a mean over new seeds.

    Raises:
        UserError: a setting is unknown or out of range.
        WorkerError: the objective raised.
    """
    kept = {"run_dir", "ranks", "env_id", "objective", "keep_members"} & set(settings)
    if kept:
        raise UserError(
            f"minimize works in memory on the ranks it finds, got {listed(sorted(kept))}; use "
            f"esengine.train for a run"
        )
    config = _config(
        method, {"objective": "<function>", "dimension": dimension, "minimize": True, **settings}
    )
    config.check()
    world = World()

    return world.broadcast(run(world, config, None, None, tuple(callbacks), objective))


@arguments_named()
def train(method: str, callbacks: Sequence[Callback] = (), **settings: Any) -> RunResult:
    """Train as ``esengine train METHOD`` does, and keep the run in its directory.

    Args:
        method: as on the command line, or ``module:Class`` for a custom strategy.
        callbacks: called with the row of metrics after every generation, on the master.
        **settings: any flags, with underscores: ``env_id``, ``population_size``, ``seed``,
            ``run_dir``, ``ranks``, ... ``ranks`` is 1 unless given, which stays in this process.

    Raises:
        UserError: a setting is unknown or out of range, or the run directory is in use.
        WorkerError: a member raised.
    """
    config = completed(_config(method, {"ranks": 1, "quiet": True, **settings}))
    path = config.train.run_dir or default_path(config)
    if must_launch(config.train.ranks or 1, config.train.worker_timeout):
        if callbacks:
            raise UserError(
                "callbacks need ranks=1 or a script under mpirun, got ranks > 1; read "
                "metrics.jsonl instead"
            )
        return _train_on_local_ranks(config, path)

    world = World()
    directory = world.agree(
        lambda: prepare(config, path, world.size > 1) if world.is_master else None
    )
    if directory is None:
        return world.broadcast(run(world, config, None))
    directory.add_start(world.size)
    return world.broadcast(run_and_note(world, config, directory, None, tuple(callbacks)))


@arguments_named()
def evaluate(
    policy: str | Path, episodes: int = 100, seed: int = 0, trust_modules: bool = False
) -> Evaluation:
    """Evaluate a run's policy, or a policy file, on fresh starts.

    Raises:
        UserError: there is no such policy.
    """
    settings = EvaluateSettings(episodes=episodes, seed=seed, trust_modules=trust_modules)
    settings.check()
    world = World()
    return world.broadcast(evaluate_on(world, Path(policy), settings))


@arguments_named()
def collect(**settings: Any) -> Demonstrations:
    """Record demonstrations as ``esengine collect`` does, on the ranks that the script has.

    Args:
        **settings: any flags, with underscores: ``expert``, ``policy``, ``env_id``, ``episodes``,
            ``seed``, ... except ``out``, ``ranks`` and ``quiet``.

    Returns:
        The demonstrations, which `save_demonstrations` writes to a file.

    Raises:
        UserError: a setting is unknown or out of range, or too few episodes are good enough.
        WorkerError: the environment or the expert raised.
    """
    refused = {"out", "ranks", "quiet"} & set(settings)
    if refused:
        raise UserError(
            f"collect works in memory on the ranks it finds, got {listed(sorted(refused))}; use "
            f"esengine.save_demonstrations for a file"
        )
    chosen = settings_from(CollectSettings, settings)
    chosen.check()
    world = World()
    return world.broadcast(collect_on(world, chosen))


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
        search: called on the master with the pool; what it returns is the result on every rank.
        problem: what members are evaluated on, the same on every rank.
        noise_table_size: numbers in the table, a power of two, or 0 for computed noise.
    """
    world = World()

    def build() -> Built[None]:
        log2 = table_log2(noise_table_size, problem.dimension, 1)
        return Built(problem, None, log2, getattr(problem, "seed", 0))

    return world.broadcast(on_all_ranks(world, build, lambda pool, _: search(pool)))


def _config(method: str, settings: dict[str, Any]) -> RunConfig:
    kind = settings_of(method)
    search_names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    train_names = {field.name for field in fields(TrainSettings)}
    unknown = sorted(set(settings) - search_names - train_names)
    if unknown:
        raise UserError(
            f"settings of {method} must be among {listed(sorted(search_names | train_names))}, "
            f"got {listed(unknown)}"
        )

    own = {name: value for name, value in settings.items() if name in search_names}
    given = defaults_of(method) | {name: settings[name] for name in settings if name not in own}
    return RunConfig(method, settings_from(TrainSettings, given), settings_from(kind, own))


def _train_on_local_ranks(config: RunConfig, path: Path) -> RunResult:
    status = start(config.with_train(run_dir=path), StopRequest())
    if status != DONE:
        raise WorkerError(
            f"the run in {path} ended with status {status}; its ranks' messages are on standard "
            f"error"
        )

    directory = RunDirectory.open(path, trusted=True)
    done = directory.done() or {}
    best: dict[str, Any] = {"value": None, "point": None}
    if not config.train.is_function:
        best["parameters"] = load_policy(path).parameters
    else:
        best = directory.best()
    return RunResult(
        True,
        done["reason"],
        done["generations"],
        best["parameters"],
        best["value"],
        best["point"],
        done.get("policy_generation"),
        done["final_return"],
        directory,
    )
