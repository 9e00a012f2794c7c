"""Experts that plan: from the settings of a planner, and of what it plans in."""

from __future__ import annotations

from esengine.algorithms.imitation.aggregation import AggregationSettings
from esengine.algorithms.models.pets import ModelExpert, PETSSettings
from esengine.algorithms.planners import ControllerExpert, FittedControllers, PlannerExpert
from esengine.demonstrations.experts import Expert
from esengine.environments import EnvironmentSpec, describe
from esengine.launch.settings.planners import DynamicsName, load_fitted, load_planner
from esengine.models import LearnedDynamics, LearnedModel, load_model
from esengine.simulators import Dynamics, make_dynamics


def planner_expert(
    search: AggregationSettings, environment: EnvironmentSpec, max_episode_steps: int | None
) -> Expert:
    """The expert of ``--planner`` and ``--dynamics``. Raises UserError."""
    assert search.planner is not None
    if search.dynamics == "fitted":
        settings = load_fitted(search.planner_arg)
        return ControllerExpert(FittedControllers(settings, environment, max_episode_steps))

    planner = load_planner(search.planner, search.planner_arg)
    if isinstance(search, PETSSettings):
        env = environment.open()
        observations, action = describe(env)
        blank = LearnedModel.blank(search.spec(observations.dim, action))
        return ModelExpert(planner, LearnedDynamics(env, blank))
    return PlannerExpert(planner, planner_dynamics(search.dynamics, search.model, environment))


def planner_dynamics(
    dynamics: DynamicsName, model: str | None, environment: EnvironmentSpec
) -> Dynamics:
    """What a planner plans in, except by rollouts: a simulator, or a learned model. Raises
    UserError.
    """
    if dynamics == "learned":
        assert model is not None
        return LearnedDynamics(environment.open(), load_model(model))
    return make_dynamics(environment)
