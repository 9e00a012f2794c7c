"""Collecting demonstrations of a policy, a planner, an expert or rules, on all ranks."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from esengine.checks import at_least, not_negative
from esengine.demonstrations import Demonstrations, Trajectory
from esengine.demonstrations.files import check_target, load_demonstrations, save_demonstrations
from esengine.demonstrations.recording import Acting, Recorded, Recorder
from esengine.demonstrations.rounds import record
from esengine.errors import Interrupted, UserError, put
from esengine.launch.demonstrations.demonstrators import (
    DemonstratorSettings,
    dynamics_of,
    environment_for,
    expert_of,
    recording_problem,
)
from esengine.launch.mpirun.caller import CallerOf, no_caller
from esengine.launch.mpirun.local_ranks import (
    ALONE_S,
    begins_alone,
    find_mpirun,
    launched_by_us,
    must_launch,
    result_of_ranks,
)
from esengine.launch.runs.outcomes import DONE
from esengine.launch.settings.config import flags_of
from esengine.launch.settings.flags import parse
from esengine.launch.settings.planners import (
    check_planner,
    load_skill_planner,
)
from esengine.launch.training.trial import environment_tried
from esengine.planning import PlanCandidates, PooledDynamics, record_here
from esengine.pool import Built, FaultRules, Pool, WorkerRules, on_all_ranks
from esengine.problems import EnvironmentProblem
from esengine.ranks import StopRequest
from esengine.ranks.guard import report
from esengine.ranks.world import World, available_cores
from esengine.simulators.classic import ClassicDynamics
from esengine.user_code import environments_closed


@dataclass(frozen=True)
class CollectSettings(WorkerRules, DemonstratorSettings):
    """Record episodes of a run's policy, a planner, a custom expert, skills, or a set of rules."""

    def check(self) -> None:
        """Raises UserError for settings that collect nothing."""
        WorkerRules.check(self)
        given = [
            name
            for name in ("policy", "expert", "planner", "skills")
            if getattr(self, name) not in (None, ())
        ]
        if len(given) > 1 or not (given or self.rules):
            named = " and ".join(f"--{name}" for name in given) or "none"
            raise UserError(
                f"collect needs one of --policy, --expert, --planner, --skills or --rules, got "
                f"{named}; name who demonstrates"
            )
        if self.skills:
            load_skill_planner(self.planner_arg)
        else:
            check_planner(self.planner, self.planner_arg, self.dynamics, self.model)
        if self.env_id is None and self.policy is None:
            raise UserError(
                "--expert, --planner and --rules need --env-id, got none; for example --env-id "
                "Pendulum-v1"
            )
        if self.policy is not None and (self.env_id or self.env_arg or self.env_wrapper):
            raise UserError(
                "--env-id, --env-arg and --env-wrapper belong to --expert, --planner and --rules, "
                "got --policy, whose file names them; drop them"
            )
        at_least(self, 1, "episodes", "max_episode_steps", "workers")
        at_least(self, 0, "seed")
        not_negative(self, "noise", way_out="0 adds none")
        check_target(self.out)


_LAST_FLAGS = ("--trust-modules", "--out")
_MOST_ROUNDS = 100  # without one episode that is good enough


def collect_command(argv: list[str], stop: StopRequest) -> int:
    """Collect, write the file and print a summary; returns the exit status. Raises UserError for
    settings that collect nothing.
    """
    settings = parse(CollectSettings, argv, "esengine collect")
    demonstrations = _collected_soon(settings, stop)
    if demonstrations is None:
        return DONE
    save_demonstrations(settings.out, demonstrations)
    if not (settings.quiet or launched_by_us()):
        returns = demonstrations.returns
        put(
            f"{len(returns)} episodes of {demonstrations.num_steps} steps, mean return "
            f"{returns.mean():.4f} "
            f"({returns.min():.4f} to {returns.max():.4f}), in {settings.out}",
            flush=True,
        )

    return DONE


def _collected_soon(settings: CollectSettings, stop: StopRequest) -> Demonstrations | None:
    """`collected`, which begins in this process: workers start if it lasts longer than that costs,
    and record all episodes anew. A plan lasts longer in any case.
    """
    plans = settings.planner is not None or bool(settings.skills)
    if not plans and begins_alone(settings.workers, settings.member_timeout):
        with suppress(Interrupted), stop.pausing_after(ALONE_S):
            return collected(settings, 1, stop)
        if stop:
            raise Interrupted(stop.received)
    return collected(settings, settings.workers or available_cores(), stop)


def collected(
    settings: CollectSettings, workers: int, stop: StopRequest, caller: CallerOf = no_caller
) -> Demonstrations | None:
    """What the settings collect, on the ranks of this launch or on local ones; None on workers.

    Args:
        settings: who demonstrates, and what is kept.
        workers: their number.
        stop: set by signals.
        caller: from Python, if it needs the Python objects of these names.

    Raises:
        UserError: invalid settings, or there is no such expert.
        RanksFailed: local ranks failed.
    """
    settings.check()
    if not _shares_plans(settings):
        workers = min(workers, settings.episodes)
    if not must_launch(workers, settings.member_timeout):
        world = World()
        if not launched_by_us():
            world.agree(lambda: _try_environment(settings) if world.is_master else None)
        return collect_on(world, settings, stop)

    with environments_closed():
        _try_environment(settings)
    find_mpirun()
    return result_of_ranks(
        workers,
        ["collect", *flags_of(settings, ("out", "workers", "trust_modules")), *_LAST_FLAGS],
        "demos.npz",
        lambda file: load_demonstrations([file], trust_modules=True),
        stop,
        caller((settings.env_id or "", settings.expert or "", *settings.rules)),
    )


def _try_environment(settings: CollectSettings) -> None:
    """Try the environment once, before ranks start. Raises UserError."""
    environment_tried(recording_problem(settings), settings.member_timeout)


def collect_on(
    world: World, settings: CollectSettings, stop: StopRequest | None = None
) -> Demonstrations | None:
    """Collect on all ranks; None on workers.

    Raises:
        UserError: on every rank: invalid settings, or too few episodes are good enough.
        WorkerError: the environment or the expert raised.
    """

    def build() -> Built[CollectSettings]:
        return Built(recording_problem(settings), settings)

    rules = FaultRules(settings.member_retries, settings.member_timeout, settings.respawn)
    return on_all_ranks(world, build, _collect, stop, rules)


def _collect(pool: Pool, settings: CollectSettings) -> Demonstrations:
    if not settings.quiet:
        pool.life_sign.report = report
    problem = pool.rank_state.problem
    assert isinstance(problem, EnvironmentProblem)
    action = problem.policy.action
    least = settings.min_return
    noise = np.diag(settings.noise * action.reach()) if settings.noise else np.zeros((0, 0))

    kept: list[Trajectory] = []
    number = 0
    while len(kept) < settings.episodes:
        recorded = _record(pool, problem, settings, Acting(1.0, noise), number)
        kept += [
            one.trajectory
            for one in recorded
            if least is None or one.trajectory.episode_return >= least
        ]

        number += 1
        if number == _MOST_ROUNDS and not kept:
            best = max(one.trajectory.episode_return for one in recorded)
            raise UserError(
                f"--min-return must be within the expert's reach, got {least}; its last episodes "
                f"reached {best:g}"
            )
    return Demonstrations(problem.environment, action, tuple(kept[: settings.episodes]))


def _record(
    pool: Pool, problem: EnvironmentProblem, settings: CollectSettings, acting: Acting, number: int
) -> list[Recorded]:
    """A round of episodes, divided over the ranks; or each plan's candidates, where there are more
    workers than episodes.
    """
    if _shares_plans(settings) and (pool.world.size - 1) > settings.episodes:
        dynamics = PooledDynamics(problem.part(PlanCandidates).dynamics, pool)
        problem.part(Recorder).expert = expert_of(settings, None, dynamics)
        return record_here(pool, acting, settings.episodes, settings.seed, number)
    return record(pool, problem.actor.parameters, acting, settings.episodes, settings.seed, number)


def _shares_plans(settings: CollectSettings) -> bool:
    """Whether a plan is worth dividing over ranks: not if its steps follow from each other, or take
    microseconds.
    """
    if settings.skills or settings.planner not in ("mppi", "cross-entropy"):
        return False
    with environments_closed():
        dynamics = dynamics_of(settings, environment_for(settings, None))
    return not isinstance(dynamics, ClassicDynamics)
