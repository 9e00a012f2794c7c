"""Who demonstrates: a policy, a planner, an expert, skills or rules, from the settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from esengine.algorithms.planners import (
    ControllerExpert,
    FittedControllers,
    PlannerExpert,
    SkillExpert,
    SkillMeasures,
)
from esengine.demonstrations.experts import Expert, PolicyExpert, RuleExpert, load_expert
from esengine.demonstrations.recording import Recorder
from esengine.environments import EnvironmentSpec, check_fit, load_rules
from esengine.errors import UserError
from esengine.launch.settings.groups import environment_of
from esengine.launch.settings.planners import (
    DynamicsName,
    PlannerName,
    load_fitted,
    load_planner,
    load_skill_planner,
)
from esengine.launch.training.planner_experts import planner_dynamics
from esengine.planning import PlanCandidates
from esengine.policies import Policy, PolicySpec, load_policy
from esengine.policies.network import check_compiled, check_memoryless
from esengine.problems import EnvironmentProblem
from esengine.repertoires import holds_archive, load_archive
from esengine.simulators import Dynamics, ObservableDynamics
from esengine.user_code import check_trusted


@dataclass(frozen=True)
class DemonstratorSettings:
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


def dynamics_of(settings: DemonstratorSettings, environment: EnvironmentSpec) -> Dynamics | None:
    """What a planner or skills plan in, or None if nobody plans, or by rollouts alone."""
    if (settings.planner is None and not settings.skills) or settings.dynamics == "fitted":
        return None
    return planner_dynamics(settings.dynamics, settings.model, environment)


def recording_problem(settings: DemonstratorSettings) -> EnvironmentProblem:
    """The problem in which the settings' expert acts; its own policy is not used.

    Raises:
        UserError: there is no such expert or environment, or the two do not fit.
    """
    policy = None if settings.policy is None else load_policy(settings.policy)
    environment = environment_for(settings, policy)
    observations, action = environment.spaces()
    dynamics = dynamics_of(settings, environment)
    expert = expert_of(settings, policy, dynamics)

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


def environment_for(settings: DemonstratorSettings, policy: Policy | None) -> EnvironmentSpec:
    if policy is None:
        assert settings.env_id is not None
        named = environment_of(settings.env_id, settings.env_arg, settings.env_wrapper)
        check_trusted("--env-id", *named.modules, trusted=True)
        return named
    check_trusted(settings.policy, *policy.modules, trusted=settings.trust_modules)
    return policy.environment


def expert_of(
    settings: DemonstratorSettings, policy: Policy | None, dynamics: Dynamics | None
) -> Expert:
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
        environment = environment_for(settings, None)
        fitted = load_fitted(settings.planner_arg)
        expert = ControllerExpert(
            FittedControllers(fitted, environment, settings.max_episode_steps)
        )
    if settings.rules:
        expert = RuleExpert(load_rules(settings.rules), expert, complete=True)
    assert expert is not None
    return expert


def _skill_expert(settings: DemonstratorSettings, dynamics: Dynamics) -> SkillExpert:
    """The search over skills. Raises UserError for policies that do not fit, or dynamics without
    observations.
    """
    spec = environment_for(settings, None)
    observations, action = spec.spaces()
    if not isinstance(dynamics, ObservableDynamics) or action.kind != "box":
        raise UserError(
            f"--skills need box actions and a simulator that computes observations, got "
            f"{spec.env_id}; use classic control, MuJoCo or esengine/PointMaze-v0, or give your "
            f"environment's class get_state(), set_state(state) and get_observation()"
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
