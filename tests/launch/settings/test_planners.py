"""Planners as experts of ``esengine collect``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from esengine.algorithms.planners import ILQR
from esengine.errors import UserError
from esengine.launch.cli import main
from esengine.launch.demonstrations.collecting import CollectSettings
from esengine.launch.demonstrations.demonstrators import recording_problem
from esengine.launch.settings.planners import check_planner, load_planner
from esengine.planning.candidates import PlanCandidates, PooledDynamics
from esengine.pool.pool import Pool
from esengine.pool.startup import open_rank_state
from esengine.ranks.world import World
from esengine.simulators.families import make_dynamics


def test_settings_come_from_name_and_value() -> None:
    assert load_planner("ilqr", ("horizon=7", "tolerance=1", "cross_terms=false")) == ILQR(
        7, tolerance=1.0, cross_terms=False
    )


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("mppi", ("lambda=1",), "settings must be among .*temperature.*, got lambda"),
        (
            "mppi",
            ("horizon",),
            "--planner-arg must be name=value, got 'horizon'; for example horizon=50",
        ),
        ("mppi", ("horizon=0",), "--planner-arg horizon must be at least 1, got 0"),
        ("cross-entropy", ("horizon=long",), "horizon must be .*, got 'long'"),
        (None, ("horizon=3",), "--planner-arg must go with --planner, got horizon=3"),
    ],
)
def test_settings_that_no_planner_has_are_refused(
    name: str | None, arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        check_planner(name, arguments)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--planner", "mppi"), "need --env-id"),
        (
            ("--planner", "mppi", "--expert", "a:b", "--env-id", "Pendulum-v1"),
            "got --expert and --planner",
        ),
        (("--planner", "ilqr", "--env-id", "CartPole-v1"), "use --planner mppi or cross-entropy"),
        (
            ("--planner", "mppi", "--env-id", "Blackjack-v1"),
            "a planner needs an environment whose state can be set",
        ),
    ],
)
def test_collect_says_who_cannot_plan_where(
    flags: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["collect", *flags, "--ranks", "1", "--out", str(tmp_path / "demos.npz")]) == 2
    assert message in capsys.readouterr().err


def test_candidates_that_the_pool_runs_return_the_same_bits() -> None:
    settings = CollectSettings(planner="mppi", env_id="HalfCheetah-v5")
    problem = recording_problem(settings)
    dynamics = problem.part(PlanCandidates).dynamics
    alone = make_dynamics(problem.environment)
    env = problem.environment.make()
    env.reset(seed=0)
    controls = np.random.default_rng(0).uniform(-1, 1, (7, 5, 6))
    with (
        open_rank_state(World(), problem, 0, log2_size=None) as rank_state,
        Pool(World(), rank_state) as pool,
    ):
        pooled = PooledDynamics(dynamics, pool).returns(alone.state_of(env), controls)
    assert pooled.tolist() == alone.returns(alone.state_of(env), controls).tolist()
