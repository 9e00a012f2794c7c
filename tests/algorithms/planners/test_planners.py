"""Planners against exact solutions: Riccati, limits of the temperature, bounds, twins."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from esengine.algorithms.planners import ILQR, MPPI, CrossEntropy, Plan, Planner, PlannerExpert
from esengine.algorithms.planners.mppi import weights
from esengine.algorithms.planners.quadratic_expansion import expand
from esengine.algorithms.planners.riccati import solve_bounded
from esengine.algorithms.planners.sampling import draw_candidates, draw_candidates_reference
from esengine.environments import EnvironmentSpec
from esengine.errors import UserError
from esengine.simulators import Dynamics, make_dynamics
from tests.support.linear_quadratic import HORIZON, AnalyticLinearQuadratic, LinearQuadratic

START = np.array([1.0, -0.5, 0.8, 0.3])
PLANNERS: list[Planner] = [
    MPPI(horizon=HORIZON),
    CrossEntropy(horizon=HORIZON),
    ILQR(horizon=HORIZON),
]


@pytest.mark.parametrize(
    "dynamics", [LinearQuadratic(), AnalyticLinearQuadratic()], ids=["differences", "analytic"]
)
def test_ilqr_equals_riccati_in_one_iteration(dynamics: LinearQuadratic) -> None:
    gains, P = dynamics.riccati()
    plan = ILQR(horizon=HORIZON, num_iterations=1).plan(dynamics, START, None)
    assert plan.gains is not None
    assert plan.states is not None
    np.testing.assert_allclose(plan.gains, gains, rtol=0, atol=1e-8)
    assert -plan.expected_return == pytest.approx(START @ P @ START, rel=1e-8)
    np.testing.assert_allclose(
        plan.controls, np.einsum("tij,tj->ti", gains, plan.states[:-1]), rtol=0, atol=1e-8
    )


@pytest.mark.parametrize(
    "planner",
    [
        MPPI(
            horizon=HORIZON, num_candidates=256, num_iterations=20, sigma=0.1, noise_correlation=0.0
        ),
        CrossEntropy(
            horizon=HORIZON,
            num_candidates=256,
            num_iterations=20,
            least_sigma=0.005,
            noise_correlation=0.0,
        ),
    ],
    ids=["mppi", "cross-entropy"],
)
def test_sampling_planners_come_within_five_percent_of_the_least_cost(planner: Planner) -> None:
    dynamics = LinearQuadratic()
    least = float(START @ dynamics.riccati()[1] @ START)
    for key in range(3):
        assert least <= -planner.plan(dynamics, START, None, key).expected_return <= 1.05 * least


def test_ilqr_keeps_within_bounds_and_is_optimal_there() -> None:
    dynamics = LinearQuadratic(bound=0.4)
    plan = ILQR(horizon=HORIZON, num_iterations=50).plan(dynamics, START, None)
    assert np.abs(plan.controls).max() == 0.4
    assert (np.abs(plan.controls) == 0.4).sum() > 2
    rest = np.random.default_rng(0).uniform(-0.4, 0.4, (2000, HORIZON, 2))
    nearby = np.clip(plan.controls + 0.02 * rest, -0.4, 0.4)
    assert dynamics.returns(START, nearby).max() <= plan.expected_return + 1e-9


def test_a_bounded_quadratic_is_minimised_like_a_grid_search_would() -> None:
    random = np.random.default_rng(1)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 201)] * 2), axis=-1).reshape(-1, 2)
    for _ in range(20):
        root, g = random.standard_normal((2, 2)), 2 * random.standard_normal(2)
        H = root @ root.T + 0.1 * np.eye(2)
        x, free = np.empty(2), np.empty(2, np.bool_)
        assert solve_bounded(H, g, -np.ones(2), np.ones(2), x, free)
        values = 0.5 * np.einsum("ni,ij,nj->n", grid, H, grid) + grid @ g
        assert 0.5 * x @ H @ x + g @ x <= values.min() + 1e-12
        assert ((np.abs(x) < 1) <= free).all()
    assert not solve_bounded(-H, g, -np.ones(2), np.ones(2), x, free)


def test_differences_equal_the_derivatives_of_a_linear_quadratic_problem() -> None:
    random = np.random.default_rng(0)
    states, controls = random.standard_normal((HORIZON, 4)), random.uniform(-5, 5, (HORIZON, 2))
    controls[0] = 5.0  # on its bound
    exact = AnalyticLinearQuadratic().expand(states, controls)
    measured = expand(LinearQuadratic(), states, controls, 1e-3, 1e-2, cross_terms=True)
    np.testing.assert_allclose(measured.jacobians, exact.jacobians, atol=1e-9)
    np.testing.assert_allclose(measured.hessians, exact.hessians, atol=1e-7)
    np.testing.assert_allclose(measured.gradients[1:], exact.gradients[1:], atol=1e-9)
    np.testing.assert_allclose(measured.gradients[0, 4:], exact.gradients[0, 4:], atol=1e-7)


def test_mppi_weights_do_not_see_an_offset_and_have_the_right_limits() -> None:
    costs = np.array([3.0, 1.0, 2.0, 1.5])
    np.testing.assert_array_equal(
        weights(costs + 1024.0, 0.5), weights(costs, 0.5)
    )  # exact, as these sums are
    noisy = np.random.default_rng(0).standard_normal(100)
    np.testing.assert_allclose(weights(noisy - 1e6, 0.3), weights(noisy, 0.3), rtol=1e-8)
    assert weights(costs, 1e-12).tolist() == [0, 1, 0, 0]
    np.testing.assert_allclose(weights(costs, 1e12), 0.25, rtol=1e-10)
    assert weights(np.ones(4), 0.0).tolist() == [0.25] * 4  # a spread of 0
    assert weights(np.array([np.inf, 1.0, np.nan, 1.0]), 0.1).tolist() == [0, 0.5, 0, 0.5]
    expected = np.exp(-costs / 0.5) / np.exp(-costs / 0.5).sum()
    np.testing.assert_allclose(weights(costs, 0.5), expected, rtol=1e-12)


class Offset(LinearQuadratic):
    """Every reward is higher by a power of two, so that nothing is rounded away."""

    def returns(
        self, state: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        rounded: NDArray[np.float64] = np.round(super().returns(state, controls) * 1024) / 1024
        rounded += 64.0 * controls.shape[1]
        return rounded


class Rounded(Offset):
    """The same without the offset."""

    def returns(
        self, state: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        plain: NDArray[np.float64] = super().returns(state, controls) - 64.0 * controls.shape[1]
        return plain


@pytest.mark.parametrize("control_cost", [0.0, 1.0])
def test_mppi_plans_the_same_under_a_cost_offset(control_cost: float) -> None:
    planner = MPPI(
        horizon=HORIZON, control_cost=control_cost, relative_temperature=False, temperature=1.0
    )
    plain, offset = (
        planner.plan(dynamics, START, None, 7).controls for dynamics in (Rounded(), Offset())
    )
    np.testing.assert_array_equal(plain, offset)


def test_mppi_control_cost_is_the_quadratic_form_of_the_noise_covariance() -> None:
    planner = MPPI(horizon=5, noise_correlation=0.6)
    times = np.arange(5)
    covariance = 0.6 ** np.abs(times[:, None] - times)
    drift, noise = np.random.default_rng(0).standard_normal((2, 5, 1))
    inner = (planner._whitened(drift) * planner._whitened(noise)).sum()
    assert inner == pytest.approx(float(drift[:, 0] @ np.linalg.solve(covariance, noise[:, 0])))


def test_candidates_equal_their_twin_and_do_not_depend_on_how_many_are_drawn() -> None:
    mean, deviations = np.linspace(-1, 1, 14).reshape(7, 2), np.full((7, 2), 0.7)
    arguments: tuple[Any, ...] = (
        mean,
        deviations,
        0.5,
        np.array([-1.0, -2.0]),
        np.array([1.0, 0.5]),
    )
    drawn = draw_candidates(np.uint64(5), 40, *arguments)
    np.testing.assert_allclose(
        drawn, draw_candidates_reference(np.uint64(5), 40, *arguments), rtol=0, atol=1e-15
    )
    np.testing.assert_array_equal(draw_candidates(np.uint64(5), 9, *arguments), drawn[:9])
    free = draw_candidates(
        np.uint64(1), 4000, np.zeros((6, 1)), np.ones((6, 1)), 0.8, np.full(1, -9.0), np.full(1, 9.0)
    )[:, :, 0]  # fmt: skip
    np.testing.assert_allclose(
        np.cov(free.T), 0.8 ** np.abs(np.subtract.outer(np.arange(6), np.arange(6))), atol=0.08
    )


@pytest.mark.parametrize("planner", PLANNERS, ids=["mppi", "cross-entropy", "ilqr"])
def test_a_planner_is_a_function_of_its_arguments(planner: Planner) -> None:
    for dynamics in (LinearQuadratic(), make_dynamics(EnvironmentSpec("Pendulum-v1"))):
        state = START[: dynamics.state_size]
        plans: list[Plan] = [planner.plan(dynamics, state, None, key) for key in (1, 1)]
        np.testing.assert_array_equal(plans[0].controls, plans[1].controls)
        assert plans[0].controls.shape == (HORIZON, dynamics.low.size)
        assert (plans[0].controls >= dynamics.low).all()
        assert (plans[0].controls <= dynamics.high).all()
        assert dynamics.returns(state, plans[0].controls[None])[0] == pytest.approx(
            plans[0].expected_return, rel=1e-12
        )
        better = planner.plan(dynamics, state, plans[0].controls, 2)
        assert better.expected_return >= plans[0].expected_return - 0.05 * abs(
            plans[0].expected_return
        )


def episode_return(env_id: str, planner: Planner, seed: int, max_steps: int) -> float:
    spec = EnvironmentSpec(env_id)
    env, expert = spec.make(), PlannerExpert(planner, make_dynamics(spec))
    observation, _ = env.reset(seed=seed)
    expert.begin(env, seed)
    total = 0.0
    for _ in range(max_steps):
        observation, reward, terminated, truncated, _ = env.step(expert.act(observation))
        total += float(reward)
        if terminated or truncated:
            break
    return total


@pytest.mark.parametrize("planner", PLANNERS, ids=["mppi", "cross-entropy", "ilqr"])
def test_every_planner_swings_the_pendulum_up(planner: Any) -> None:
    returns = [
        episode_return("Pendulum-v1", replace(planner, horizon=25), seed, 200) for seed in (0, 1)
    ]
    assert min(returns) > -420, (
        returns
    )  # a random policy has -1200, the best from the worst start about -380


def test_mppi_balances_a_pole_by_discrete_pushes() -> None:
    assert episode_return("CartPole-v1", MPPI(horizon=25, sigma=1.0), 0, 200) == 200


def test_an_experts_labels_depend_on_the_episode_alone() -> None:
    spec = EnvironmentSpec("Pendulum-v1")
    dynamics: Dynamics = make_dynamics(spec)
    expert, labels = PlannerExpert(MPPI(horizon=10), dynamics), []
    for seed in (3, 4, 3):
        env = spec.make()
        env.reset(seed=seed)
        expert.begin(env, seed)
        labels.append(
            np.array([expert.act(env.step(np.zeros(1, np.float32))[0]) for _ in range(5)])
        )
    np.testing.assert_array_equal(labels[0], labels[2])
    assert (labels[0] != labels[1]).any()


@pytest.mark.parametrize(
    ("planner", "message"),
    [
        (MPPI(horizon=0), "--planner-arg horizon must be at least 1, got 0"),
        (MPPI(temperature=0.0), "--planner-arg temperature must be positive, got 0.0"),
        (MPPI(control_cost=-1.0), "--planner-arg control_cost must not be negative"),
        (
            CrossEntropy(elite_fraction=1.5),
            r"--planner-arg elite_fraction must lie in \(0, 1\], got 1.5",
        ),
        (
            CrossEntropy(noise_correlation=1.0),
            r"--planner-arg noise_correlation must lie in \[0, 1\), got 1.0",
        ),
        (
            CrossEntropy(num_candidates=1),
            "--planner-arg num_candidates must be at least 2, got 1",
        ),
        (ILQR(control_step=0.9), "--planner-arg control_step must be at most 0.5"),
    ],
)
def test_settings_that_define_no_planner_are_refused(planner: Planner, message: str) -> None:
    with pytest.raises(UserError, match=message):
        PlannerExpert(planner, LinearQuadratic())


def test_ilqr_says_which_environments_it_cannot_plan_in() -> None:
    dynamics = make_dynamics(EnvironmentSpec("CartPole-v1"))
    with pytest.raises(UserError, match="use --planner mppi or cross-entropy"):
        PlannerExpert(ILQR(), dynamics)
