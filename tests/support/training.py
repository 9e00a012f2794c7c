"""Training within a test's own process, stopped where the test wants."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from esengine.algorithms import CMAESSettings
from esengine.algorithms.evolution.openai_es import OpenAIESSettings
from esengine.algorithms.evolution.truncation_es import TruncationESSettings
from esengine.errors import Interrupted
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.train_settings import TrainSettings
from esengine.launch.training.problem_from_settings import build_problem, initial_row
from esengine.launch.training.strategy_loop import StrategyTraining
from esengine.pool import Pool
from esengine.pool.startup import open_rank_state
from esengine.ranks import StopRequest, World

CONFIG = RunConfig(
    "cma-es",
    TrainSettings(
        env_id="CartPole-v1",
        generations=4,
        eval_every=2,
        checkpoint_every=2,
        hidden_sizes=(4,),
        keep_checkpoints=1,
    ),
    CMAESSettings(population_size=6, sigma=1.0),
)


def training(
    path: Path,
    patch: dict[str, Any] | None = None,
    config: RunConfig = CONFIG,
    stop: StopRequest | None = None,
) -> StrategyTraining:
    """The loop over a new or an existing run in this process; ``patch`` replaces methods of it or
    of its strategy.
    """
    directory = RunDirectory(path) if path.exists() else RunDirectory.create(path, config)
    problem = build_problem(config)
    strategy = config.strategy(initial_row(config.train, problem))
    pool = Pool(World(), open_rank_state(World(), problem, 0, 16), stop)
    loop = StrategyTraining(pool, config, directory, strategy, ())
    for name, value in (patch or {}).items():
        owner: Any = loop.method if hasattr(strategy, name) else loop
        setattr(owner, name, value(getattr(owner, name)))
    return loop


def interrupted_at(call: int) -> Any:
    """Makes a method raise `Interrupted` at its n-th call."""

    def wrap(method: Any) -> Any:
        count = 0

        def wrapped(*arguments: Any) -> Any:
            nonlocal count
            count += 1
            if count == call:
                raise Interrupted("SIGTERM")
            return method(*arguments)

        return wrapped

    return wrap


METHODS: dict[str, RunConfig] = {
    "cma-es": CONFIG,
    "truncation-es": RunConfig(
        "truncation-es",
        CONFIG.train,
        TruncationESSettings(population_size=10, sigma=0.5, elite_episodes=2),
    ),
    "openai-es": RunConfig("openai-es", CONFIG.train, OpenAIESSettings(population_size=6)),
    "openai-es lag": RunConfig(
        "openai-es", replace(CONFIG.train, lag=2), OpenAIESSettings(population_size=6)
    ),
}
