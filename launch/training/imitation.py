"""Runs of the imitation methods: from settings to the method, its loop, and what is kept with the
run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from esengine.algorithms.imitation.aggregation import Aggregation, AggregationSettings
from esengine.algorithms.imitation.behavior_cloning import (
    BehaviorCloning,
    BehaviorCloningSettings,
)
from esengine.algorithms.imitation.dagger import DAgger, DAggerSettings
from esengine.algorithms.imitation.dart import DART, DARTSettings
from esengine.algorithms.imitation.guided_policy_search import (
    GuidedPolicySearch,
    GuidedPolicySearchSettings,
)
from esengine.algorithms.imitation.learner import LearnerSettings
from esengine.algorithms.imitation.plato import PLATO, PLATOSettings
from esengine.algorithms.imitation.recurrent_learner import make_learner
from esengine.algorithms.models.pets import PETS, PETSSettings
from esengine.algorithms.planners import FittedControllers, GuidedExpert, PlannedControllers
from esengine.algorithms.strategy import RoundMethod
from esengine.checks import belong_to
from esengine.demonstrations import Demonstrations, load_demonstrations
from esengine.demonstrations.experts import Expert, PolicyExpert, RuleExpert, load_expert
from esengine.demonstrations.recording import Recorder
from esengine.demonstrations.rule_labels import corrected
from esengine.environments import Rules, check_fit, load_rules
from esengine.errors import UserError
from esengine.launch.runs.copied_files import copy_demonstrations
from esengine.launch.runs.saving import Snapshot
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.groups import flags_of_environment
from esengine.launch.settings.planners import check_planner, load_fitted, load_planner
from esengine.launch.training.loop import RoundTraining, Training
from esengine.launch.training.method_run import MethodRun
from esengine.launch.training.planner_experts import planner_expert
from esengine.launch.training.problem_from_settings import environment_problem, initial_row
from esengine.policies import load_policy
from esengine.pool import Built
from esengine.problems import EnvironmentProblem
from esengine.simulators import ObservableDynamics, make_dynamics
from esengine.simulators.traces import horizon_of
from esengine.user_code import check_trusted, named_callable

_METHODS: dict[type[AggregationSettings], type[Aggregation]] = {
    DAggerSettings: DAgger,
    DARTSettings: DART,
    PLATOSettings: PLATO,
    GuidedPolicySearchSettings: GuidedPolicySearch,
    PETSSettings: PETS,
}


class PETSTraining(RoundTraining):
    """The loop of `pets`, which saves its model with the policy."""

    method: PETS

    def snapshot(self) -> Snapshot:
        return replace(super().snapshot(), model=self.method.model)


class ImitationRun(MethodRun):
    """A run of a method that imitates: the master alone learns; all ranks record, label and
    evaluate.
    """

    @property
    def loop(self) -> type[Training]:
        return PETSTraining if isinstance(self.search, PETSSettings) else RoundTraining

    def completed(self) -> RunConfig:
        self.search.check()
        if isinstance(self.search, AggregationSettings):
            _check_labels(self.config.method, self.search, bool(self.train.rules))
        if self.search.demonstrations:
            return with_environment(self.config)
        if self.train.env_id is None:
            raise UserError(
                f"{self.config.method} needs --env-id or --demonstrations, got none; for example "
                f"--env-id Pendulum-v1"
            )

        return self.config

    def build(self, on_master: bool) -> Built[RoundMethod | None]:
        problem = recording_problem(self.config)
        return Built(problem, method_of(self.config, problem) if on_master else None)

    def check(self) -> Built[RoundMethod | None]:
        problem = recording_problem(self.config)
        self.search.loss_of(problem.policy)
        return Built(problem, None)

    def copy_files(self, folder: Path) -> RunConfig:
        demonstrations = load_given(self.config) if self.search.demonstrations else None
        copies = copy_demonstrations(folder, demonstrations, _policy_path(self.search))
        return super().copy_files(folder).with_search(**copies)


def with_environment(config: RunConfig) -> RunConfig:
    """The settings with the environment of the demonstrations, and what is given of it. Raises
    UserError.
    """
    environment = load_given(config).environment
    if config.train.env_id is not None and config.train.environment() == environment:
        return config
    return config.with_train(**flags_of_environment(environment))


def _check_labels(method: str, search: AggregationSettings, rules: bool) -> None:
    """Raises UserError unless there is one source of labels."""
    if search.expert is not None and search.planner is not None:
        raise UserError(f"{method} needs one of --expert and --planner, got both; drop one")
    if search.expert is None and search.planner is None and not rules:
        raise UserError(f"{method} needs --expert, --planner or --rules, got none; name who labels")
    if isinstance(search, PLATOSettings | GuidedPolicySearchSettings) and (
        search.planner is None or rules
    ):
        raise UserError(
            f"{method} needs --planner and no --rules, since its teacher plans near the learner; "
            f"name a planner"
        )
    if not isinstance(search, PETSSettings):
        check_planner(search.planner, search.planner_arg, search.dynamics, search.model)
    elif rules:
        raise UserError("pets plans every step, so it needs no --rules, got some; drop them")
    else:
        load_planner(search.planner or "", search.planner_arg)


def recording_problem(config: RunConfig) -> EnvironmentProblem:
    """The problem of a run: the environment, the policy's architecture and, where the method asks
    one, the expert.

    Raises:
        UserError: there is no such environment, expert or rule.
    """
    plain = environment_problem(config)
    search: Any = config.search
    policy = plain.policy
    if config.train.init_policy is None and search.loss == "mixture":
        policy = replace(policy, components=search.components)
    recorder = Recorder(_expert(config, plain))
    if isinstance(search, DAggerSettings):
        recorder.mix_per = search.mix_per

    # here rules label, and the policy has to do without them
    return replace(plain, shield=Rules(()), policy=policy, parts=(*plain.parts, recorder))


def method_of(config: RunConfig, problem: EnvironmentProblem) -> BehaviorCloning | Aggregation:
    """The method that the settings describe, at its start. torch is imported here."""
    train = config.train
    search: Any = config.search
    demonstrations = load_given(config) if search.demonstrations else None
    initial = None if train.init_policy is None else initial_row(train, problem)
    if isinstance(search, AggregationSettings):
        kind = _METHODS[type(search)]
        begin = () if demonstrations is None else demonstrations.trajectories
        return kind(search, problem, begin, train.seed, initial)

    assert isinstance(search, BehaviorCloningSettings)
    assert demonstrations is not None
    rules = load_rules(train.rules)
    if rules:
        ruled = tuple(
            corrected(one, rules, problem.policy.action) for one in demonstrations.trajectories
        )
        demonstrations = replace(demonstrations, trajectories=ruled)

    if initial is None and problem.normalize_observations:
        problem.adopt_scaling(*demonstrations.scaling())
    learner = make_learner(problem.policy, search, train.seed, problem.scaling(), initial)
    return BehaviorCloning(search, learner, demonstrations, train.seed)


def load_given(config: RunConfig) -> Demonstrations:
    """The demonstrations that the settings choose. Raises UserError."""
    search: Any = config.search
    train = config.train
    expected = None
    if train.env_id is not None:
        expected = train.environment()
    else:
        belong_to(train, "--env-id", "none", "env_arg", "env_wrapper", way_out="name it, too")
    needs_actions = getattr(search, "needs_actions", True)
    demonstrations = load_demonstrations(
        search.demonstrations, train.trust_modules, expected, needs_actions
    )
    if search.trajectories is None:
        return demonstrations
    return demonstrations.choose(search.trajectories, train.seed)


def _expert(config: RunConfig, problem: EnvironmentProblem) -> Expert | None:
    """The expert that labels, with rules that come before it; None for behavior cloning. Raises
    UserError if there is none, or it is a policy for other observations or actions.
    """
    search: Any = config.search
    if not isinstance(search, AggregationSettings):
        return None

    expert: Expert | None = None
    path = _policy_path(search)
    if path is not None:
        policy = load_policy(path)
        if policy.spec.module:
            check_trusted(path, policy.spec.module, trusted=config.train.trust_modules)
            named_callable("--policy", policy.spec.module, "mypackage.networks:Memory", "class")
        spaces = (problem.observations, problem.policy.action)
        found = (policy.spec.observation_dim, policy.spec.action)
        way_out = "name a policy for these"
        check_fit("--expert", problem.environment.env_id, spaces, found, f"{path} with ", way_out)
        expert = PolicyExpert(policy)
    elif search.expert is not None:
        expert = load_expert(search.expert)
    elif isinstance(search, GuidedPolicySearchSettings):
        expert = _guide(config, search)
    elif search.planner is not None:
        expert = planner_expert(search, config.train.environment(), config.train.max_episode_steps)

    rules: Rules = load_rules(config.train.rules)
    return RuleExpert(rules, expert) if rules else expert


def _guide(config: RunConfig, search: GuidedPolicySearchSettings) -> GuidedExpert:
    """The teacher of guided policy search. Raises UserError where there are no local
    controllers.
    """
    environment = config.train.environment()
    with environment.opened() as env:
        num_steps = horizon_of(env, config.train.max_episode_steps)
    if num_steps is None:
        raise UserError(
            f"guided-policy-search needs episodes of limited length, {environment.env_id} has no "
            f"limit; use --max-episode-steps"
        )
    if search.dynamics == "fitted":
        fitted = replace(
            load_fitted(search.planner_arg),
            kl_step=search.kl_step,
            deviation=search.policy_deviation,
        )
        return GuidedExpert(FittedControllers(fitted, environment, num_steps))

    dynamics = make_dynamics(environment)
    if not isinstance(dynamics, ObservableDynamics):
        raise UserError(
            f"guided-policy-search needs compiled classic control or MuJoCo, whose observations "
            f"it can compute, got {environment.env_id}; use --planner ilqr --dynamics fitted"
        )
    assert search.planner is not None
    planner = load_planner(search.planner, search.planner_arg)
    return GuidedExpert(PlannedControllers(planner, dynamics, search.policy_deviation, num_steps))


def _policy_path(search: LearnerSettings) -> Path | None:
    """The expert's policy file, if the expert is one: its name has no colon, or is a file."""
    name = getattr(search, "expert", None)
    if name is None or (":" in name and not Path(name).exists()):
        return None
    return Path(name)
