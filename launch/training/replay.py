"""One member of a run again, exactly: its population from the nearest checkpoint before it, its
starts from its seed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from safetensors import SafetensorError

from esengine.algorithms.strategy import Strategy
from esengine.errors import UserError, WorkerError, put
from esengine.launch.runs.code import code_at, code_of
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.settings.flags import parse
from esengine.launch.settings.help import Positional
from esengine.launch.settings.methods import REPERTOIRE, STRATEGY, TRIALS, family_of
from esengine.launch.training.isolation import in_teams
from esengine.launch.training.method_run import method_run
from esengine.launch.training.restoring import check_environment, warn_of_changes
from esengine.launch.training.strategy_loop import StrategyTraining
from esengine.pool import FaultRules, Pool, on_all_ranks
from esengine.problems import FAILED
from esengine.problems.failures import MembersFailed, failure_words
from esengine.ranks import StopRequest, World
from esengine.storage import Checkpoint, checkpoints, load_checkpoint


@dataclass(frozen=True)
class ReplaySettings:
    """Evaluate a member of a run again, in this process. failures.jsonl lists those that failed."""

    run: Annotated[Path, Positional()]
    """The run directory."""
    generation: int
    """The member's generation, counted from 1."""
    member: int
    """The member's number, counted from 0."""
    trust_modules: bool = False
    """Import the modules to which the run's files refer, which runs their code."""


def replay_command(argv: list[str], stop: StopRequest) -> int:
    """Evaluate a member again in this process and print what became of it.

    Between the checkpoint and the member's generation the run is repeated, which takes as long as
    it took.

    Returns:
        0, or 1 if the member failed.

    Raises:
        UserError: the folder is no run, the run had no such member, or it names a module that is
            not trusted.
    """
    settings = parse(ReplaySettings, argv, "esengine replay")
    path = settings.run
    directory = RunDirectory.open(path, settings.trust_modules)
    config = directory.trusted_config()
    if family_of(config.method) not in (STRATEGY, REPERTOIRE, TRIALS):
        raise UserError(
            f"replay must be of a run with members, got {path} of {config.method}; its rows tell "
            f"of its rounds"
        )
    last = max([row["generation"] for row in directory.last_rows()], default=0)
    generation = settings.generation
    if not 1 <= generation <= last + 1:
        raise UserError(
            f"--generation must lie between 1 and {last + 1}, where {path} stands, got {generation}"
        )
    world = World()
    if world.size > 1:
        raise UserError(
            f"esengine replay works in one process, got {world.size} ranks; start it without mpirun"
        )

    chosen = method_run(config)

    def work(pool: Pool, strategy: Strategy) -> int:
        training = chosen.loop(pool, config, None, strategy, ())
        assert isinstance(training, StrategyTraining)
        check_environment(directory, training.problem)
        warn_of_changes(
            f"{path}: the member is evaluated with the new code",
            code_at(directory.starts(), generation),
            code_of(config),
        )
        _go_to(training, _nearest(directory, generation - 1), generation - 1)
        return _evaluate(training, settings.member)

    rules = FaultRules(config.train.member_retries, max_failed_fraction=1.0)
    teams = in_teams(world, config)
    status = on_all_ranks(world, lambda: chosen.build(on_master=True), work, stop, rules, teams)
    assert status is not None
    return status


def _nearest(directory: RunDirectory, generation: int) -> Checkpoint | None:
    """The furthest whole checkpoint that is not after a generation; None for the beginning of the
    run.
    """
    for path in reversed(checkpoints(directory.checkpoints)):
        if int(path.name.partition("+")[0]) <= generation:
            try:
                return load_checkpoint(path)
            except (OSError, ValueError, KeyError, TypeError, SafetensorError):
                continue  # a damaged one: an earlier one will do
    return None


def _go_to(training: StrategyTraining, checkpoint: Checkpoint | None, generation: int) -> None:
    """Bring the strategy to where a generation had been told."""
    if checkpoint is not None:
        training.restore(checkpoint)
        training.forget_results()
    training.begin()
    done = training.method.generation
    if done < generation:
        put(f"repeating {generation - done} generations from generation {done}", flush=True)
    while training.method.generation < generation:
        training.advance()


def _evaluate(training: StrategyTraining, member: int) -> int:
    """Evaluate one member of the next generation; returns 0, or 1 if it failed."""
    drawn = training.next_population()
    candidates = drawn.candidates.search_population
    if not 0 <= member < candidates.population_size:
        raise UserError(
            f"--member must lie between 0 and {candidates.population_size - 1}, got {member}"
        )

    try:
        record = training.pool.evaluate_member(candidates, member, drawn.context)
    except MembersFailed as failed:
        mine = [failure for failure in failed.failures if failure["member"] == member]
        raise WorkerError(failure_words(mine[0])) from None

    where = f"generation {candidates.generation}, member {member}"
    if record["status"] == FAILED:
        put(f"{where}: fitness {record['fitness']} is not finite", file=sys.stderr)
        return 1
    put(
        f"{where}: fitness {float(record['fitness'])!r} over {record['episodes']} episodes, "
        f"{record['steps']} steps"
    )
    return 0
