"""Collecting demonstrations of a policy, a planner, an expert or rules, on all ranks."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from esengine.algorithms.planners import (
    ControllerExpert,
    FittedControllers,
    PlannerExpert,
    SkillExpert,
    SkillMeasures,
)
from esengine.checks import at_least, not_negative
from esengine.demonstrations import Demonstrations, Trajectory
from esengine.demonstrations.experts import Expert, PolicyExpert, RuleExpert, load_expert
from esengine.demonstrations.files import check_target, load_demonstrations, save_demonstrations
from esengine.demonstrations.recording import Acting, Recorded, Recorder
from esengine.demonstrations.rounds import record
from esengine.environments import EnvironmentSpec, check_fit, load_rules
from esengine.errors import Interrupted, UserError, put
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
from esengine.launch.settings.groups import environment_of
from esengine.launch.settings.planners import (
    DynamicsName,
    PlannerName,
    check_planner,
    load_fitted,
    load_planner,
    load_skill_planner,
)
from esengine.launch.training.planner_experts import planner_dynamics
from esengine.launch.training.trial import environment_tried
from esengine.planning import PlanCandidates, PooledDynamics, record_here
from esengine.policies import Policy, PolicySpec, load_policy
from esengine.policies.network import check_compiled, check_memoryless
from esengine.pool import Built, FaultRules, Pool, WorkerRules, on_all_ranks
from esengine.problems import EnvironmentProblem
from esengine.ranks import StopRequest
from esengine.ranks.guard import report
from esengine.ranks.world import World, available_cores
from esengine.repertoires import holds_archive, load_archive
from esengine.simulators import Dynamics, ObservableDynamics
from esengine.simulators.classic import ClassicDynamics
from esengine.user_code import check_trusted, environments_closed


@dataclass(frozen=True)
class _Demonstrator:
    """Who acts where, and what is kept."""

    policy: Path | None = None
    """Demonstrate with the policy of this run directory, or with this policy file."""
    expert: str | None = None
    """Demonstrate with a function of the observation, or an expert class, as module:name."""
    planner: PlannerName | None = None
    """Demonstrate by planning every step in a copy of the environment's simulator: mppi,
    cross-entropy or ilqr.
    """
    dynamics: DynamicsName = "simulator"
    """What the planner plans in: a copy of the simulator; for ilqr, local models that are fitted to
    rollouts from the same start; for mppi and cross-entropy, the learned --model.
    """
    model: str | None = None
    """The learned model, a run directory of pets or a model file."""
    planner_arg: tuple[str, ...] = ()
    """Settings of the planner, or of the search over skills, each name=value; for example
    horizon=50 num_candidates=256.
    """
    skills: tuple[Path, ...] = ()
    """Demonstrate by chaining the policies of these run directories or files; a search in the
    simulator chooses the order. An archive gives all of its elites, of which it tries a few in each
    state, by their measures.
    """
    rules: tuple[str, ...] = ()
    """Modules of rules, when(observation) and act(observation), which correct the policy or the
    expert, or act alone.
    """
    env_id: str | None = None
    """Gymnasium environment, as EnvId or module:EnvId; default that of --policy."""
    env_arg: tuple[str, ...] = ()
    """Arguments of the environment, each name=value; a value is JSON, a Python literal or a plain
    word.
    """
    env_wrapper: tuple[str, ...] = ()
    """Wrappers of gymnasium around the environment, the innermost first, each Name or
    Name={"argument": value}.
    """
    episodes: int = 10
    """Episodes to keep."""
    min_return: float | None = None
    """Keep only episodes with at least this return, and record until there are enough."""
    noise: float = 0.0
    """Standard deviation of noise on the actions, relative to half the action's range; labels are
    the actions without it.
    """
    max_episode_steps: int | None = None
    """Cut episodes after this many steps."""
    fresh_env: bool = False
    """Make a new environment for every episode, if reset does not clear all state."""
    seed: int = 0
    """Seed of every random number. The result depends on it, and not on the number of ranks."""
    out: str = "demos.npz"
    """File to write: FILE.npz, or minari:ID for a new Minari dataset."""
    workers: int | None = None
    """Workers to start on this machine; default one per core. 1 stays in this process."""
    trust_modules: bool = False
    """Import the module to which the policy's file refers, which runs its code."""
    quiet: bool = False
    """Print only errors."""


@dataclass(frozen=True)
class CollectSettings(WorkerRules, _Demonstrator):
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
        problem.part(Recorder).expert = _expert(settings, None, dynamics)
        return record_here(pool, acting, settings.episodes, settings.seed, number)
    return record(pool, problem.actor.parameters, acting, settings.episodes, settings.seed, number)


def _shares_plans(settings: CollectSettings) -> bool:
    """Whether a plan is worth dividing over ranks: not if its steps follow from each other, or take
    microseconds.
    """
    if settings.skills or settings.planner not in ("mppi", "cross-entropy"):
        return False
    with environments_closed():
        dynamics = _dynamics(settings, _environment(settings, None))
    return not isinstance(dynamics, ClassicDynamics)


def _dynamics(settings: CollectSettings, environment: EnvironmentSpec) -> Dynamics | None:
    """What a planner or skills plan in, or None if nobody plans, or by rollouts alone."""
    if (settings.planner is None and not settings.skills) or settings.dynamics == "fitted":
        return None
    return planner_dynamics(settings.dynamics, settings.model, environment)


def recording_problem(settings: CollectSettings) -> EnvironmentProblem:
    """The problem in which the settings' expert acts; its own policy is not used.

    Raises:
        UserError: there is no such expert or environment, or the two do not fit.
    """
    policy = None if settings.policy is None else load_policy(settings.policy)
    environment = _environment(settings, policy)
    observations, action = environment.spaces()
    dynamics = _dynamics(settings, environment)
    expert = _expert(settings, policy, dynamics)

    if settings.noise and action.kind != "box":
        raise UserError(
            f"--noise must be used with box actions, got {action.kind} of {environment.env_id}; "
            f"leave it out"
        )
    if policy is not None:
        found = (policy.spec.observation_dim, policy.spec.action)
        spaces = (observations, action)
        check_fit("--policy", environment.env_id, spaces, found, f"{settings.policy} with ")

    recorder = Recorder(expert)
    return EnvironmentProblem(
        environment,
        observations,
        PolicySpec(observations.dim, action),
        settings.seed,
        normalize_observations=False,
        max_episode_steps=settings.max_episode_steps
        or (None if policy is None else policy.max_episode_steps),
        fresh_env=settings.fresh_env or (policy is not None and policy.fresh_env),
        parts=(recorder,) if dynamics is None else (recorder, PlanCandidates(dynamics)),
    )


def _environment(settings: CollectSettings, policy: Policy | None) -> EnvironmentSpec:
    if policy is None:
        assert settings.env_id is not None
        named = environment_of(settings.env_id, settings.env_arg, settings.env_wrapper)
        check_trusted("--env-id", *named.modules, trusted=True)
        return named
    check_trusted(settings.policy, *policy.modules, trusted=settings.trust_modules)
    return policy.environment


def _expert(settings: CollectSettings, policy: Policy | None, dynamics: Dynamics | None) -> Expert:
    expert: Expert | None = None
    if policy is not None:
        expert = PolicyExpert(policy)
    elif settings.expert is not None:
        expert = load_expert(settings.expert)
    elif settings.skills and dynamics is not None:
        expert = _skill_expert(settings, dynamics)
    elif settings.planner is not None and dynamics is not None:
        expert = PlannerExpert(load_planner(settings.planner, settings.planner_arg), dynamics)
    elif settings.planner is not None:
        environment = _environment(settings, None)
        fitted = load_fitted(settings.planner_arg)
        expert = ControllerExpert(
            FittedControllers(fitted, environment, settings.max_episode_steps)
        )
    if settings.rules:
        expert = RuleExpert(load_rules(settings.rules), expert, complete=True)
    assert expert is not None
    return expert


def _skill_expert(settings: CollectSettings, dynamics: Dynamics) -> SkillExpert:
    """The search over skills. Raises UserError for policies that do not fit, or dynamics without
    observations.
    """
    spec = _environment(settings, None)
    observations, action = spec.spaces()
    if not isinstance(dynamics, ObservableDynamics) or action.kind != "box":
        raise UserError(
            f"--skills need a compiled simulator and box actions, got {spec.env_id}; "
            "use classic control, MuJoCo or esengine/PointMaze-v0"
        )

    policies: list[Policy] = []
    repertoires = []
    for path in settings.skills:
        archive = load_archive(path) if holds_archive(path) else None
        own = [load_policy(path)] if archive is None else archive.policies()
        if archive is not None:
            repertoires.append(SkillMeasures(len(policies), archive.scaled_measures()))
        policies += own
        policy = own[0]  # elites have one architecture
        found = (policy.spec.observation_dim, policy.spec.action)
        way_out = "use one of these spaces"
        check_fit("--skills", spec.env_id, (observations, action), found, f"{path} with ", way_out)
        check_compiled(policy.spec, f"--skills {path}")
        check_memoryless(policy.spec, f"--skills {path}")
        if policy.spec.components:
            raise UserError(
                f"--skills must have one action for an observation, got {path}, which is a "
                f"mixture; use policies without --loss mixture"
            )
    actors = [policy.actor() for policy in policies]
    planner = load_skill_planner(settings.planner_arg)
    return SkillExpert(planner, dynamics, actors, repertoires)
