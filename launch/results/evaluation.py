"""Evaluating a policy on fresh starts, on all ranks."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import PolicyEpisodes
from esengine.checks import at_least, writable_folder
from esengine.environments import check_fit, load_rules
from esengine.errors import Interrupted, UserError, WorkerError, listed, put
from esengine.launch.mpirun.caller import CallerOf, no_caller
from esengine.launch.mpirun.local_ranks import (
    ALONE_S,
    begins_alone,
    default_workers,
    find_mpirun,
    launched_by_us,
    must_launch,
    result_of_ranks,
)
from esengine.launch.results.paired import difference, table_of
from esengine.launch.runs.outcomes import DONE
from esengine.launch.settings.config import flags_of
from esengine.launch.settings.flags import parse_with_argument
from esengine.policies import Policy, load_policy
from esengine.pool import Built, FaultRules, Pool, on_all_ranks
from esengine.problems import FAILED, EnvironmentProblem
from esengine.problems.failures import failure_words
from esengine.ranks import StopRequest, World
from esengine.ranks.guard import report
from esengine.storage.files import read_json, write_json
from esengine.user_code import check_trusted


@dataclass(frozen=True)
class _Episodes:
    """What to evaluate, and where the result goes."""

    episodes: int = 100
    """Number of episodes, each from a fresh start."""
    seed: int = 0
    """Seed of the start states and of sampled actions."""
    workers: int | None = None
    """Workers to start on this machine; default one per core."""
    json: Path | None = None
    """Write mean_return, standard_error, episodes and returns to this file."""
    rules: tuple[str, ...] = ()
    """Modules of corrective rules that override the policy."""
    trust_modules: bool = False
    """Import the module to which the policy's file refers, which runs its code."""


@dataclass(frozen=True)
class EvaluateSettings(FaultRules, _Episodes):
    """Evaluate a policy on fresh starts."""

    def check(self) -> None:
        """Raises UserError for values that no evaluation can have."""
        FaultRules.check(self)
        at_least(self, 1, "episodes", "workers")
        at_least(self, 0, "seed")
        writable_folder(self, "json")


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The returns of a policy's episodes.

    Attributes:
        returns: of the episodes that did not fail.
        failed: number of those that did.
    """

    returns: tuple[float, ...]
    failed: int = 0

    def __repr__(self) -> str:
        failed = f", failed={self.failed}" if self.failed else ""
        return (
            f"Evaluation(mean_return={self.mean_return:.6g}, "
            f"standard_error={self.standard_error:.3g}, episodes={len(self.returns)}{failed})"
        )

    @property
    def mean_return(self) -> float:
        return float(np.mean(self.returns))

    @property
    def standard_error(self) -> float:
        """The standard error of the mean; 0 for a single episode."""
        n = len(self.returns)
        return float(np.std(self.returns, ddof=1) / math.sqrt(n)) if n > 1 else 0.0

    def to_json(self) -> dict[str, object]:
        record: dict[str, object] = {
            "mean_return": self.mean_return,
            "standard_error": self.standard_error,
            "episodes": len(self.returns),
            "returns": list(self.returns),
        }
        return record | ({"failed_episodes": self.failed} if self.failed else {})

    @classmethod
    def from_file(cls, path: Path) -> Evaluation:
        """The evaluation in a file that holds what `to_json` returns."""
        record = read_json(path)
        return cls(tuple(record["returns"]), record.get("failed_episodes", 0))


def evaluate_command(argv: list[str], stop: StopRequest) -> int:
    """Evaluate policies and print the result; returns the exit status.

    Raises:
        UserError: there is no such policy, or it names a module that is not trusted.
    """
    about = "Run directories or policy files; several are compared over the same starts."
    paths, settings = parse_with_argument(
        EvaluateSettings, argv, "esengine evaluate", "policies", about, tuple[Path, ...]
    )
    if not paths:
        raise UserError("evaluate needs a run directory or a policy file, got none; name one")
    workers = settings.workers or default_workers()
    if len(paths) > 1:
        return _compare(paths, settings, workers, stop)
    evaluation = _evaluated_soon(paths[0], settings, workers, stop)
    if evaluation is None:  # on a worker
        return DONE

    if not launched_by_us():
        failed = f"; {evaluation.failed} failed" if evaluation.failed else ""
        put(
            f"mean return {evaluation.mean_return:.4f}, standard error "
            f"{evaluation.standard_error:.4f}, over {len(evaluation.returns)} episodes{failed}",
            flush=True,
        )
    if settings.json is not None:
        write_json(settings.json, evaluation.to_json())
    return DONE


def _compare(
    paths: tuple[Path, ...], settings: EvaluateSettings, workers: int, stop: StopRequest
) -> int:
    """Evaluate several policies over the same starts, and print a table; returns the exit status.
    Raises UserError for policies of several environments.
    """
    environments = {str(path): str(load_policy(path).environment) for path in paths}
    if len(set(environments.values())) > 1 or len(environments) < len(paths):
        raise UserError(
            f"evaluate compares different policies of one environment, got "
            f"{listed(sorted(set(environments.values())))} for {listed(paths)}; evaluate the "
            f"others one by one"
        )
    found = {str(path): _evaluated_soon(path, settings, workers, stop) for path in paths}
    evaluations = {name: one for name, one in found.items() if one is not None}
    if len(evaluations) < len(paths):  # on a worker
        return DONE
    if not launched_by_us():
        put(table_of(evaluations), flush=True)
    if settings.json is not None:
        first = evaluations[str(paths[0])]
        record = {
            name: one.to_json() | {"difference": difference(one.returns, first.returns)._asdict()}
            for name, one in evaluations.items()
        }
        write_json(settings.json, record)
    return DONE


def _evaluated_soon(
    path: Path, settings: EvaluateSettings, workers: int, stop: StopRequest
) -> Evaluation | None:
    """`evaluated`, which begins in this process: workers start if it lasts longer than that costs,
    and evaluate all episodes anew.
    """
    if begins_alone(settings.workers, settings.member_timeout):
        settings.check()
        with suppress(Interrupted), stop.pausing_after(ALONE_S):
            return evaluate_on(World(), path, settings, stop)
        if stop:
            raise Interrupted(stop.received)
    return evaluated(path, settings, workers, stop)


def evaluated(
    path: Path,
    settings: EvaluateSettings,
    workers: int,
    stop: StopRequest,
    caller: CallerOf = no_caller,
) -> Evaluation | None:
    """Evaluate a policy on the ranks of this launch or on local ones; returns None on workers.

    Args:
        path: a run directory or a policy file.
        settings: of the evaluation.
        workers: their number, at most one per episode.
        stop: set by signals.
        caller: from Python, if it needs the Python objects of these names.

    Raises:
        UserError: there is no such policy, or it names a module that is not trusted.
        RanksFailed: local ranks failed.
    """
    settings.check()
    workers = min(workers, settings.episodes)
    if not must_launch(workers, settings.member_timeout):
        return evaluate_on(World(), path, settings, stop)

    problem, _ = policy_problem(path, settings.seed, settings.trust_modules, settings.rules)
    find_mpirun()
    flags = flags_of(settings, ("json", "workers", "trust_modules"))
    words = ["evaluate", str(path.resolve()), "--trust-modules", *flags, "--json"]
    names = (*problem.environment.modules, *settings.rules)
    return result_of_ranks(
        workers, words, "evaluation.json", Evaluation.from_file, stop, caller(names)
    )


def evaluate_on(
    world: World, path: Path, settings: EvaluateSettings, stop: StopRequest | None = None
) -> Evaluation | None:
    """Evaluate a policy on all ranks; returns None on workers."""

    def build() -> Built[NDArray[np.float32]]:
        return Built(*policy_problem(path, settings.seed, settings.trust_modules, settings.rules))

    def work(pool: Pool, parameters: NDArray[np.float32]) -> Evaluation:
        pool.life_sign.report = report
        episodes = evaluation_episodes(settings.seed, settings.episodes, parameters)
        evaluations = pool.evaluate(episodes)
        returns = evaluations.records["fitness"][evaluations.records["status"] != FAILED]
        num_failed = evaluations.num_failed
        if num_failed > settings.max_failed_fraction * settings.episodes or not returns.size:
            failures = evaluations.failures
            reason = failure_words(failures[0]) if failures else "the return is not finite"
            raise WorkerError(
                f"{num_failed} of {settings.episodes} episodes failed, more than "
                f"--max-failed-fraction {settings.max_failed_fraction:g} allows: {reason}"
            )
        return Evaluation(tuple(returns.tolist()), num_failed)

    return on_all_ranks(world, build, work, stop, settings)


def evaluation_episodes(
    seed: int, num_episodes: int, parameters: NDArray[np.float32]
) -> PolicyEpisodes:
    """The episodes that an evaluation with a seed runs, and a film shows."""
    return PolicyEpisodes(seed, 0, num_episodes, parameters, "evaluate")


def policy_problem(
    path: Path,
    seed: int,
    trusted: bool,
    rules: tuple[str, ...] = (),
    policy: Policy | None = None,
) -> tuple[EnvironmentProblem, NDArray[np.float32]]:
    """The problem that a policy file was trained on, with its scaling, and its parameters.

    Args:
        path: of the policy.
        seed: of the episodes.
        trusted: import modules that it names.
        rules: see ``--rules``.
        policy: that of the path, or one of several there; None reads it.

    Raises:
        UserError: the policy does not fit its environment, or names a module that is not trusted.
    """
    policy = load_policy(path) if policy is None else policy
    check_trusted(path, *policy.modules, trusted=trusted)
    spaces = policy.environment.spaces()
    found = (policy.spec.observation_dim, policy.spec.action)
    check_fit(str(path), policy.environment.env_id, spaces, found)
    problem = EnvironmentProblem(
        policy.environment,
        spaces[0],
        policy.spec,
        seed,
        max_episode_steps=policy.max_episode_steps,
        fresh_env=policy.fresh_env,
        shield=load_rules(rules),
    )
    problem.adopt_scaling(policy.observation_mean, policy.observation_inverse_std)

    return problem, policy.parameters
