"""Training on a learned reward: every strategy, any number of ranks, an exact resume, and what
cannot be.
"""

from __future__ import annotations

from pathlib import Path

import gymnasium
import pytest
from gymnasium.envs.registration import EnvSpec

from esengine.algorithms.strategy import Settings
from esengine.errors import UserError
from esengine.launch.runs.json_lines import Row
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.methods import STRATEGIES, settings_of
from esengine.launch.settings.train_settings import TrainSettings
from esengine.launch.training.run import prepare, run
from esengine.ranks.world import World
from tests.support.learners import reward_file


@pytest.mark.parametrize("method", STRATEGIES)
def test_every_strategy_trains_on_a_reward_and_tells_the_true_return(
    tmp_path: Path, method: str
) -> None:
    search: Settings = settings_of(method)(population_size=8)  # type: ignore[call-arg]
    train = TrainSettings(
        env_id="CartPole-v1",
        generations=2,
        hidden_sizes=(2,),
        noise_table_size=0,
        reward=reward_file(tmp_path),
    )
    rows: list[Row] = []
    result = run(World(), RunConfig(method, train, search), None, callbacks=(rows.append,))
    assert result is not None
    assert result.finished
    assert all(1 <= row["episode_return_mean"] <= 500 for row in rows)
    assert all(row["fitness_mean"] != row["episode_return_mean"] for row in rows)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env_id": "Pendulum-v1"}, "--reward must fit Pendulum-v1"),
        ({"survival_bonus": 1.0}, "--survival-bonus belongs to the environment's own reward"),
        ({"env_backend": "vectorized"}, "got vectorized; use auto"),
        ({"episode_cap": 5}, "--episode-cap belongs to the environment's own reward, got --reward"),
        (
            {"env_id": None, "objective": "m:f", "dimension": 2},
            "--reward belongs to --env-id, got --objective",
        ),
        ({"env_id": "Endless-v0"}, "use --max-episode-steps 1000"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    tmp_path: Path, changes: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if changes.get("env_id") == "Endless-v0":
        monkeypatch.setitem(
            gymnasium.registry,
            "Endless-v0",
            EnvSpec("Endless-v0", "gymnasium.envs.classic_control:CartPoleEnv"),
        )
    config = RunConfig(
        "ars",
        TrainSettings(env_id="CartPole-v1", reward=reward_file(tmp_path)),
        settings_of("ars")(),
    )
    config = config.with_train(**changes)
    with pytest.raises(UserError, match=message):
        prepare(config, tmp_path / "run", shared_memory=False)
    assert not (tmp_path / "run").exists()
