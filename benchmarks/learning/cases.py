"""What is learned: a method on a task, with the flags, a threshold, and what is published about
it.
"""

from __future__ import annotations

from typing import NamedTuple

SEEDS = range(5)


class Case(NamedTuple):
    """One method on one task.

    Attributes:
        method: as on the command line.
        task: a gymnasium id.
        threshold: mean return over an evaluation's episodes that counts as learned.
        episodes: budget of training episodes of a seed.
        flags: beside the defaults.
        published: episodes to the threshold in the literature, in words.
        label: tells two cases of one method and task apart.
    """

    method: str
    task: str
    threshold: float
    episodes: int
    flags: tuple[str, ...] = ()
    published: str = ""
    label: str = ""

    @property
    def name(self) -> str:
        """Unique among the cases; names the folders of its runs."""
        return "-".join(filter(None, (self.method, self.task, self.label)))

    def command(self, seed: int) -> list[str]:
        """The arguments of ``esengine`` for one seed, without the run's folder."""
        budget = ("--max-evaluations", str(self.episodes), "--generations", "100000")
        task = (
            "--env-id",
            self.task,
            "--target-return",
            f"{self.threshold:g}",
            "--final-episodes",
            "100",
        )
        return ["train", self.method, *task, *self.flags, *budget, "--seed", str(seed)]


_EVALUATION, _MANY = ("--eval-episodes", "20"), ("--eval-episodes", "100")
_SWIMMER, _HOPPER, _CHEETAH = ("Swimmer-v5", 325), ("Hopper-v5", 3120), ("HalfCheetah-v5", 3430)
_ARS_CHEETAH = (
    "--population-size",
    "64",
    "--top-directions",
    "4",
    "--sigma",
    "0.03",
    "--step-size",
    "0.02",
    *_EVALUATION,
)
_ARS_HOPPER = (
    "--population-size",
    "16",
    "--top-directions",
    "4",
    "--sigma",
    "0.025",
    "--step-size",
    "0.01",
    *_EVALUATION,
)
_ARS_SWIMMER = (
    "--population-size",
    "2",
    "--sigma",
    "0.01",
    "--step-size",
    "0.02",
    "--no-normalize-observations",
)

CASES = (
    Case(
        "ars",
        *_CHEETAH,
        20_000,
        _ARS_CHEETAH,
        "1,707 (V2-t); 3,000 by a plain ARS script today",
        "paper",
    ),
    Case("ars", *_HOPPER, 40_000, (*_ARS_HOPPER, "--survival-bonus", "1"), "1,973 (V2-t)", "paper"),
    Case("cma-es", *_SWIMMER, 4_000, _EVALUATION, "100 (ARS V1)"),
    Case("truncation-es", "CartPole-v1", 475, 100_000),
    Case("openai-es", "CartPole-v1", 475, 100_000),
    Case("truncation-es", "Acrobot-v1", -100, 100_000),
    Case("openai-es", "Acrobot-v1", -100, 100_000),
    Case("truncation-es", "Pendulum-v1", -200, 200_000, _MANY),
    Case("openai-es", "Pendulum-v1", -200, 200_000, _MANY),
    Case(
        "truncation-es",
        *_CHEETAH,
        10_000,
        ("--population-size", "64", "--sigma", "0.1", *_EVALUATION),
    ),
    Case(
        "openai-es",
        *_CHEETAH,
        10_000,
        ("--population-size", "64", "--sigma", "0.03", "--learning-rate", "0.02", *_EVALUATION),
    ),
    Case("ars", *_SWIMMER, 4_000, (*_ARS_SWIMMER, *_EVALUATION), "100 (V1)", "paper"),
)
"""Ordered by what they are worth, since a machine may not get to the end. ARS in the paper's
settings (arXiv 1803.07055); those of truncation-es and openai-es on HalfCheetah-v5 from a few short
runs of another seed.
"""
