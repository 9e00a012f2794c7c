"""Command lines of imitation that tests start."""

from __future__ import annotations

from tests.support.words import words

_FEW = ("--gradient-steps", "1", "--final-episodes", "2", "--eval-episodes", "2")


SMALL = ("--hidden-sizes", "8", "--max-episode-steps", "40", *_FEW, "--quiet")


HELD_OUT = (*SMALL, "--validation-fraction", "0.2")


ROUNDS = (
    *words("--episodes-per-round 2 --epochs-per-round 2 --validation-episodes 2 --eval-every 2"),
    *SMALL,
)


LEAN = ("--expert", "teachers:lean", "--env-id", "CartPole-v1", *ROUNDS)


METHODS = {
    "dagger": (
        *words("train dagger --expert teachers:Counting --env-id Pendulum-v1"),
        *ROUNDS,
        "--rules",
        "teachers",
    ),
    "dagger in part": (
        "train",
        "dagger",
        *LEAN,
        "--label-fraction",
        "0.5",
        "--mixing",
        "exponential",
    ),
    "dart": (*words("train dart --demonstrations demos.npz --expert teachers:pull"), *ROUNDS),
    "dart discrete": ("train", "dart", *LEAN),
    "mixture": (
        *words("train behavior-cloning --demonstrations demos.npz --loss mixture"),
        *HELD_OUT,
    ),
    "gaussian": (
        *words(
            "train behavior-cloning --demonstrations demos.npz --loss gaussian --sampled-actions"
        ),
        *SMALL,
    ),
}
