"""Every example runs, in a small form, and reaches what it is about."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.conftest import REPOSITORY

EXAMPLES = REPOSITORY / "examples"
IMITATION = ("behavior_cloning", "dagger", "dart", "jump_start")


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    assert spec.loader is not None
    spec.loader.exec_module(module)
    return module


def test_truncation_es_evolves_an_environment_of_ones_own(tmp_path: Path) -> None:
    assert example("truncation_es").main(tmp_path / "run", generations=4, population_size=32) > 120


def test_openai_es_follows_the_valley_in_a_loop_of_ones_own() -> None:
    assert example("openai_es").main(generations=100) < 18  # which is the cost of the start


def test_ars_balances_a_pole_and_its_policy_acts_outside_the_engine(tmp_path: Path) -> None:
    pytest.importorskip("mujoco", reason="needs MuJoCo, of the extra [mujoco]")
    assert example("ars").main(tmp_path / "run", generations=10) > 50


def test_pgpe_finds_the_middle_of_a_noisy_bowl() -> None:
    module = example("pgpe")
    assert module.main(generations=60) < module.start() / 2


def test_snes_learns_a_scale_for_every_parameter() -> None:
    assert example("snes").main(generations=100) > 3


def test_cma_es_calibrates_a_simulation() -> None:
    assert example("cma_es").main(generations=30) == pytest.approx(np.array([15.0, 0.4]), rel=0.1)


def test_sep_cma_es_works_in_a_thousand_dimensions() -> None:
    assert example("sep_cma_es").main(generations=200) < 0.5


def test_ppo_balances_the_pole_and_evolution_goes_on_from_there(tmp_path: Path) -> None:
    gradient, evolved = example("ppo").main(tmp_path / "run")
    assert gradient >= 475
    assert evolved >= 475


def test_imitation_learns_from_demonstrations_from_the_expert_and_from_its_own_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="needs PyTorch, of the extra [torch]")
    monkeypatch.syspath_prepend(str(REPOSITORY))
    expert, clone = example("behavior_cloning").main(tmp_path / "cloning", episodes=2, generations=5)
    assert clone < expert
    assert expert > -400
    assert example("dagger").main(tmp_path / "dagger", rounds=2, episodes_per_round=2) > -1500
    noise = example("dart").main(tmp_path / "dart", rounds=2, episodes_per_round=1)
    assert noise[0] == 0 < noise[1]
    before, after = example("jump_start").main(tmp_path / "jump", rounds=1, max_env_steps=20_000)
    assert before > -1500 < after


def test_a_planner_lands_softly_in_an_environment_of_ones_own() -> None:
    assert example("planner").main(num_candidates=32) < 3


def test_three_methods_learn_from_one_planner(tmp_path: Path) -> None:
    returns = example("guided_policy_search").main(tmp_path, rounds=1, epochs=1, steps=10)
    assert set(returns) == {"dagger", "plato", "guided-policy-search"}


def test_a_planner_chains_a_skill_of_a_curriculum(tmp_path: Path) -> None:
    alone, chained = example("skills").main(tmp_path / "run", generations=2, episodes=1)
    assert 0 <= alone <= 1
    assert 0 <= chained <= 1


def test_examples_are_short() -> None:
    es = ("truncation_es", "openai_es", "ars", "pgpe", "snes", "cma_es", "sep_cma_es", "ppo")
    for name in (*es, "planner", "skills", "guided_policy_search"):
        assert 25 <= len((EXAMPLES / f"{name}.py").read_text().splitlines()) <= 90


def test_inverse_rl_visits_what_the_demonstrations_visit() -> None:
    sampled, exact = example("inverse_rl").main(generations=30)
    assert exact < 0.001
    assert sampled < 0.02


def test_airl_finds_the_reward_of_states_and_its_control_fails() -> None:
    (error, share), (_, share_of_control) = example("airl").main(generations=40)
    assert error < 0.1  # 0.044 after the example's 150 generations
    assert share >= 0.95
    assert share_of_control < 0.5


def test_gail_learns_a_reward_that_a_new_search_is_paid_by(tmp_path: Path) -> None:
    learned, again = example("gail").main(tmp_path, budget=60_000)
    assert -2000 < learned < 0
    assert -2000 < again < 0
