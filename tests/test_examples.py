"""Every example runs, in a small form, and reaches what it is about."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.conftest import REPOSITORY

EXAMPLES = REPOSITORY / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    assert spec.loader is not None
    spec.loader.exec_module(module)
    return module


def test_truncation_es_evolves_an_environment_of_ones_own(tmp_path: Path) -> None:
    assert example("truncation_es").main(tmp_path / "run", generations=4, population_size=32) > 120


def test_a_program_is_searched_for_the_lightest_beam(tmp_path: Path) -> None:
    sizes = example("beam").main(tmp_path / "run", generations=12)
    assert 7850 * sizes["width"] * (sizes["root"] + sizes["tip"]) / 2 < 10  # kg, of 39 at first


def test_two_ranks_compute_each_plate(tmp_path: Path) -> None:
    assert example("plate").main(tmp_path / "run", generations=4) < 1  # that of a cold plate


def test_openai_es_follows_the_valley_in_a_loop_of_ones_own() -> None:
    assert example("openai_es").main(generations=100) < 18  # which is the cost of the start


def test_ars_balances_a_pole_and_its_policy_acts_outside_the_engine(tmp_path: Path) -> None:
    pytest.importorskip("mujoco", reason="needs MuJoCo, of the extra [mujoco]")
    assert example("ars").main(tmp_path / "run", generations=10) > 50


def test_pgpe_finds_the_middle_of_a_noisy_bowl() -> None:
    module = example("pgpe")
    assert module.main(generations=60) < module.start() / 2


def test_a_gru_remembers_until_the_end_of_the_corridor(tmp_path: Path) -> None:
    _, cloned = example("gru").main(tmp_path, generations=2)
    assert cloned > 0.95


def test_convolutions_see_a_falling_ball(tmp_path: Path) -> None:
    assert -1 <= example("catch").main(tmp_path / "run", generations=2) <= 1


def test_snes_learns_a_scale_for_every_parameter() -> None:
    assert example("snes").main(generations=100) > 3


def test_cma_es_calibrates_a_simulation() -> None:
    assert example("cma_es").main(generations=30) == pytest.approx(np.array([15.0, 0.4]), rel=0.1)


def test_sep_cma_es_works_in_a_thousand_dimensions() -> None:
    assert example("sep_cma_es").main(generations=200) < 0.5


def test_lm_ma_es_follows_a_valley_that_sep_cma_es_does_not_see() -> None:
    shares = example("lm_ma_es").main(generations=1000)
    assert (
        shares["lm-ma-es"] < shares["sep-cma-es"] / 5
    )  # after the 2,500 of the example a ten-billionth


def test_a_surrogate_needs_few_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    module = example("few_evaluations")
    monkeypatch.setattr(module, "PAUSE_S", 0)
    costs = module.main(evaluations=200)
    assert costs["lq"] < 1e-6 * costs["none"]


def test_vkd_cma_es_learns_units_and_a_valley() -> None:
    shares = example("vkd_cma_es").main(evaluations=16_000)
    assert shares["vkd-cma-es"] < min(shares["sep-cma-es"], shares["lm-ma-es"]) / 20


def test_pycma_finds_a_whole_number_of_fins() -> None:
    module = example("pycma")
    best = module.main(generations=60)
    assert best[0] == round(best[0])
    heights, thicknesses = np.linspace(5, 50, 31), np.linspace(0.3, 5, 31)
    grid = min(
        module.cost(np.array(sink))
        for sink in itertools.product(range(2, 41), heights, thicknesses)
    )
    assert module.cost(best) < 1.001 * grid


def test_ppo_balances_the_pole_and_evolution_goes_on_from_there(tmp_path: Path) -> None:
    gradient, evolved = example("ppo").main(tmp_path / "run")
    assert gradient >= 475
    assert evolved >= 475


def test_imitation_learns_from_demonstrations_from_the_expert_and_from_its_own_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="needs PyTorch, of the extra [torch]")
    monkeypatch.syspath_prepend(str(REPOSITORY))
    expert, clone = example("behavior_cloning").main(
        tmp_path / "cloning", episodes=2, generations=5
    )
    assert clone < expert
    assert expert > -400
    recorded = [tmp_path / "cloning" / name for name in ("demos.npz", "run")]
    assert example("paths").main(recorded, tmp_path / "paths.png", episodes=2)[0] == pytest.approx(
        expert
    )
    assert (tmp_path / "paths.png").stat().st_size > 1000
    assert example("dagger").main(tmp_path / "dagger", rounds=2, episodes_per_round=2) > -1500
    noise = example("dart").main(tmp_path / "dart", rounds=2, episodes_per_round=1)
    assert noise[0] == 0 < noise[1]
    before, after = example("jump_start").main(tmp_path / "jump", rounds=1, max_env_steps=20_000)
    assert before > -1500 < after


def test_cloning_falls_off_a_tightrope_with_the_square_of_the_time_and_dagger_in_proportion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regret is exact: the chain of rope and ground has the probabilities that the fitted policies
    act with.
    """
    pytest.importorskip("torch", reason="needs PyTorch, of the extra [torch]")
    monkeypatch.syspath_prepend(str(REPOSITORY))
    module, picture = example("drift"), tmp_path / "drift.png"
    powers = module.main(tmp_path / "runs", picture)
    assert 1.8 < powers["behavior-cloning"] < 2.2
    assert 0.8 < powers["dagger"] < 1.2
    for method in powers:
        slip, _ = module.chances(tmp_path / "runs" / method)
        assert (
            slip * module.TIMES[-1] < 0.4
        )  # else it lies on the ground most of the time, whatever the method
    assert picture.stat().st_size > 1000


def test_a_planner_lands_softly_in_an_environment_of_ones_own() -> None:
    assert example("planner").main(num_candidates=32) < 3


def test_three_methods_learn_from_one_planner(tmp_path: Path) -> None:
    returns = example("guided_policy_search").main(tmp_path, rounds=1, epochs=1, steps=10)
    assert set(returns) == {"dagger", "plato", "guided-policy-search"}


def test_a_planner_chains_a_skill_of_a_curriculum(tmp_path: Path) -> None:
    alone, chained = example("skills").main(tmp_path / "run", generations=2, episodes=1)
    assert 0 <= alone <= 1
    assert 0 <= chained <= 1


def test_an_ant_stands_swings_its_legs_and_drops_a_broken_one() -> None:
    pytest.importorskip("mujoco", reason="needs MuJoCo, of the extra [mujoco]")
    ant = importlib.import_module("examples.walking_ant").WalkingAnt
    raised = np.array([1.0] * 8)
    angles = {}
    for leg in (-1, 1):
        env = ant(broken_leg=leg, start_noise=0.0)
        env.reset(seed=0)
        for _ in range(30):
            _, _, _, _, info = env.step(np.zeros(8))
        assert leg == 1 or min(info.values()) > 0.5  # all feet carry it, once it has landed
        for _ in range(10):
            observation, *_ = env.step(raised)
        np.testing.assert_allclose(observation, [0, 1], atol=1e-9)  # after four whole periods
        angles[leg] = env.data.qpos[7:].copy()
    high = ant().model.jnt_range[1:, 1]
    np.testing.assert_allclose(angles[-1], high, atol=0.1)
    away = np.abs(angles[1] - high)
    assert away[:2].max() < 0.1 < away[2]  # the hip of leg 1 stays where it was


def test_an_ant_goes_on_from_a_state_that_was_set() -> None:
    pytest.importorskip("mujoco", reason="needs MuJoCo, of the extra [mujoco]")
    env = importlib.import_module("examples.going_ant").GoingAnt(target=(0.3, 0.0))
    actions = np.random.default_rng(0).uniform(-1, 1, (12, 8)).astype(np.float32)
    env.reset(seed=1)
    for action in actions[:6]:
        env.step(action)
    state = env.get_state()
    ends = []
    for _ in range(2):
        for action in actions[6:]:
            observation, reward, reached, _, info = env.step(action)
        np.testing.assert_array_equal(env.get_observation(), observation)
        assert reached == (reward == 1) == (np.hypot(info["x"] - 0.3, info["y"]) < 0.5)
        ends.append(env.get_state())
        env.set_state(state)
    np.testing.assert_array_equal(*ends)
    np.testing.assert_array_equal(state[:2], env.get_state()[:2])


def test_examples_are_short() -> None:
    for path in EXAMPLES.glob("*.py"):
        if path.name == "tabular.py":  # exact inverse RL, which three examples import
            continue
        lines = path.read_text().splitlines()
        assert len(lines) <= 130, path
        assert len(lines) >= 25 or "def main" not in path.read_text(), (
            path
        )  # experts, rules and objectives are shorter


def test_inverse_rl_visits_what_the_demonstrations_visit() -> None:
    sampled, exact = example("inverse_rl").main(generations=30)
    assert exact < 0.001
    assert sampled < 0.02


def test_airl_finds_the_reward_of_states_and_its_control_fails() -> None:
    (error, share), (_, share_of_control) = example("airl").main(generations=70)
    assert error < 0.1  # 0.035 after the example's 150 generations
    assert share >= 0.95
    assert share_of_control < 0.5


def test_gail_learns_a_reward_that_a_new_search_is_paid_by(tmp_path: Path) -> None:
    learned, again = example("gail").main(tmp_path, budget=60_000)
    assert -2000 < learned < 0
    assert -2000 < again < 0
