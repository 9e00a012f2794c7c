"""Command lines of searches that tests start."""

from __future__ import annotations

from tests.support.words import words

METHODS = {
    "truncation-es": ("train", "truncation-es", "--population-size", "24"),
    "truncation-es weighted": words(
        "train truncation-es --population-size 24 --recombination weighted"
    ),
    "cma-es": ("train", "cma-es", "--population-size", "8"),
    "openai-es": ("train", "openai-es", "--population-size", "24"),
    "ars": words("train ars --population-size 24 --top-directions 5 --survival-bonus 0.5"),
    "pgpe": ("train", "pgpe", "--population-size", "24"),
    "snes": ("train", "snes"),
    "sep-cma-es": ("train", "sep-cma-es"),
    "truncation-es computed": words(
        "train truncation-es --population-size 24 --noise-table-size 0"
    ),
    "truncation-es novel": (
        *words(
            "train truncation-es --population-size 40 --self-adaptive --crossover 0.5 --novelty nsr"
        ),
        *words("--member-statistic min --episodes-per-member 2"),
    ),
    "openai-es novel": (
        *words(
            "train openai-es --population-size 24 --novelty nsra --behavior worlds:where_it_ended"
        ),
        *("--episode-cap", "20", "--weight-decay", "0.01"),
    ),
    "truncation-es many": words("train truncation-es --population-size 500 --elite-episodes 2"),
    "cma-es many": ("train", "cma-es", "--population-size", "300"),
    "cma-es computed": ("train", "cma-es", "--population-size", "8", "--noise-table-size", "0"),
}


TASKS = {
    "CartPole-v1": ("--env-id", "CartPole-v1", "--hidden-sizes", "4"),
    "CartPole-v1 stepped": words(
        "--env-id CartPole-v1 --env-backend gymnasium --max-episode-steps 100"
    ),
    "CartPole-v1 vectorized": words(
        "--env-id CartPole-v1 --env-backend vectorized --hidden-sizes 4"
    ),
    "Pendulum-v1 gru": words(
        "--env-id Pendulum-v1 --policy gru --hidden-sizes 4 --max-episode-steps 40"
    ),
    "Pendulum-v1 module": words(
        "--env-id Pendulum-v1 --policy networks:Memory --max-episode-steps 20"
    ),
    "InvertedPendulum-v5": ("--env-id", "InvertedPendulum-v5"),
    "Swimmer-v5": ("--env-id", "Swimmer-v5", "--max-episode-steps", "40"),
}


BUDGET = ("--generations", "4", "--eval-every", "2", "--checkpoint-every", "2")
