"""RESULTS.md of the benchmark of learned rewards, from the figures in results.json."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from benchmarks.rewards.run import BY_DEFAULT, HERE, cases

_INTRODUCTION = """# Learned rewards

Scores over 100 fresh episodes (20 of the robots): normalised, so that random actions are 0 and the expert is 1; on the
cart-pole with a fixed horizon of 500 the share of the time that it balances. Written by
`python -m benchmarks.rewards.run`. Policies are made by `cma-es` with 64 members, two episodes a member on Pendulum-v1
and one on the cart-pole, on HalfCheetah-v5 and Hopper-v5 by `ars` as in `benchmarks/learning`; or by `ppo` with two
layers of 64. The score is that of the last policy: nothing is chosen by the true reward. CPU seconds are of one process
with one thread, compilation left out, on two cores that were shared with other work.
"""
_COLUMNS = (
    "task",
    "what is learned from",
    "steps kept",
    "score by seed",
    "least",
    "0.90 crossed after CPU s",
    "M steps",
    "CPU s",
)
_WORDS = {
    "gail": "gail, {given}",
    "gail by ppo": "gail by `ppo`, {given}",
    "airl by ppo": "airl by `ppo`, {given}",
    "imitation gail": "`imitation`'s GAIL, {given}",
    "imitation airl": "`imitation`'s AIRL, {given}",
    "imitation gail in our time": "`imitation`'s GAIL in the time of gail, {given}",
    "imitation airl in our time": "`imitation`'s AIRL in the time of gail, {given}",
    "random": "control: an expert that acts by chance",
    "constant": "control: an expert that always pushes left",
    "shuffled": "control: the expert's states with shuffled actions",
    "blank": "control: a constant reward",
    "true": "upper bound: the environment's reward",
}
_PUBLISHED = {
    "cartpole that falls": ("CartPole-v1", "500"),
    "pendulum": ("Pendulum-v1", "-172"),
    "halfcheetah": ("HalfCheetah-v5", "5,819 (-v3)"),
}
_GRADIENT = """
## `ppo` on the environment's reward

Mean returns over 100 fresh episodes (20 of HalfCheetah-v5) beside those that Stable-Baselines3's zoo publishes for as
many steps (one run each, tuned for each task: `benchmark.md` of rl-baselines3-zoo). Ours has two layers of 64 and its
defaults, on Pendulum-v1 with `--discount 0.9 --learning-rate 1e-3` as there, and `--steps-per-round 1000`: with the
default 2,048 one seed had -557.

| task | steps | ours, by seed | Stable-Baselines3 | CPU s |
|---|---|---|---|---|"""

_DEFAULTS = """
## Every learner with its defaults

Ten demonstrations of the experts in `experts.py`, 50 fresh episodes
after training. 0 is the return of no action (LunarLander-v3: of random ones), 1 that of the expert:
InvertedDoublePendulum-v5 86 and 9,360, MountainCarContinuous-v0 0 and 94.2, LunarLander-v3 -173 and
265 (of its episodes above 200, which are the demonstrations). Rules were chosen on the double
pendulum and Pendulum-v1; runs of `gail` on the lander prompted one more, the counting of acted steps.
The policy is that which the run
keeps; the true return chooses nothing.

| task | method | mean return by seed | score by seed | least | steps | CPU s |
|---|---|---|---|---|---|---|"""


def page(results: dict[str, Any]) -> str:
    """The page: a row for each task, kind and number of demonstrations that has a result, then the
    notes.
    """
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for case in cases():
        if case.name in results:
            key = (case.task, case.kind, case.demonstrations, case.every, case.env_steps)
            groups.setdefault(key, []).append(results[case.name])
    rows = [
        _row(key, found)
        for key, found in groups.items()
        if key[1] != "ppo" and key[0] not in BY_DEFAULT
    ]
    lines = [_INTRODUCTION, f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|", *rows]
    own = [_gradient_row(key[0], key[4], found) for key, found in groups.items() if key[1] == "ppo"]
    return "\n".join(
        [
            *lines,
            *([_GRADIENT, *own] if own else []),
            _DEFAULTS,
            *(_default_row(key, found) for key, found in groups.items() if key[0] in BY_DEFAULT),
            "",
            (HERE / "notes.md").read_text(),
        ]
    )


def _default_row(key: tuple[Any, ...], found: list[dict[str, Any]]) -> str:
    returns = " ".join(f"{one['mean_return']:,.1f}" for one in found)
    scores = [one["score"] for one in found]
    steps, seconds = (
        statistics.median(one[name] for one in found) for name in ("env_steps", "cpu_s")
    )
    return (
        f"| {key[0]} | {key[1]} | {returns} | {_listed(scores)} | {min(scores):.2f} "
        f"| {steps:,.0f} | {seconds:.0f} |"
    )


def _row(key: tuple[Any, ...], found: list[dict[str, Any]]) -> str:
    task, kind, count, every, _ = key
    scores = [one["score"] for one in found]
    crossed = [
        "-" if one["crossed_cpu_s"] is None else f"{one['crossed_cpu_s']:.0f}" for one in found
    ]
    kept = "-" if not count else "all" if every == 1 else f"1 in {every}"
    what = _WORDS[kind].format(given=f"{count} demonstration{'s' if count > 1 else ''}")
    steps, seconds = (
        statistics.median(one[name] for one in found) for name in ("env_steps", "cpu_s")
    )
    cells = (
        task,
        what,
        kept,
        _listed(scores),
        f"{min(scores):.2f}",
        " ".join(crossed),
        f"{steps / 1e6:.3g}",
        f"{seconds:.0f}",
    )
    return f"| {' | '.join(cells)} |"


def _gradient_row(task: str, env_steps: int, found: list[dict[str, Any]]) -> str:
    name, published = _PUBLISHED[task]
    returns = " ".join(f"{one['mean_return']:,.0f}" for one in found)
    return (
        f"| {name} | {env_steps:,} | {returns} | {published} | "
        f"{statistics.median(one['cpu_s'] for one in found):.0f} |"
    )


def _listed(numbers: Iterable[float]) -> str:
    return " ".join(f"{number:.2f}" for number in numbers)
