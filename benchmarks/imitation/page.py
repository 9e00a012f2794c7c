"""RESULTS.md of the imitation benchmark, from the figures in results.json."""

from __future__ import annotations

import statistics
from typing import Any

_INTRODUCTION = """# Imitation

Written by `make imitation`, which measures what is missing in `results.json`. Normalised returns: random actions are
0 and the expert is 1, on the same starts; the mean over seeds, then the least seed. Every method of a seed learns
from the same file of demonstrations. 'Given' is their number. All policies are the final ones, two tanh layers of 32.
Each case is one process with one thread; seconds are medians, taken on a busy machine, where CPU seconds grow less
than seconds do. The rows are of the scaling before decision 0061.
"""
_TASKS = {
    "Pendulum-v1": """
100 starts; the expert is `examples/pendulum.py`. DAgger and DART run 6 rounds of 8 episodes (9,600 labels beside
those given), all else is as it is by default. *dagger rules* has `examples/pendulum_rule.py` label before the expert;
*cloning, shielded* is the cloned policy with that rule stepping in. The `imitation` package (1.0.1, in an environment
of its own, with its defaults) clones for 20,000 gradient steps, as ours does, and its DAgger goes on to 20,000
labels; *in our labels* and *in our time* it stops after the round in which it has the labels, and as many environment
steps, or the CPU seconds of our run with the same seed. It has fewer seeds, since a run of its DAgger takes minutes.
""",
    "HalfCheetah-v5": """
20 starts. The expert is the linear policy of `esengine train ars` with the settings of `benchmarks/learning`, seed 0:
4,292 over 100 fresh episodes. One step in 20 of every trajectory is learned from, as in the GAIL paper (Ho, Ermon
2016): 50 pairs a demonstration, without which one demonstration is enough. DAgger and DART run 8 rounds of 2
episodes. The package pins gymnasium 0.29, which lacks this environment.
""",
    "Hopper-v5": """
As above. The expert has 3,213 over 100 fresh episodes.
""",
}
_COLUMNS = [
    "given",
    "method",
    "package",
    "normalised return",
    "least",
    "labels",
    "env steps",
    "seconds",
    "CPU seconds",
    "seeds",
]
_SEARCH = """
Searches on the true reward (`openai-es`, 64 members of one episode, until 50 evaluation episodes have a mean of -180, or for
1,000,000 steps; it passes 0.90 where an evaluation's mean first does):
"""
_SEARCH_COLUMNS = [
    "start",
    "normalised return before",
    "after",
    "least after",
    "steps to pass 0.90",
    "median steps",
    "reached -180",
    "CPU seconds",
]


_SEARCHES = ("jump start", "cold start")


def render(results: dict[str, Any]) -> str:
    """The page, of the cases that are measured; a row says how many seeds it has."""
    lines = [_INTRODUCTION]
    for env_id, words in _TASKS.items():
        groups: dict[tuple[int, str, str], list[dict[str, Any]]] = {}
        for name, result in results.items():
            task, package, method, given, _ = name.split("/")
            if task == env_id:
                groups.setdefault((int(given), method, package), []).append(result)
        rows = [(key, found) for key, found in sorted(groups.items()) if key[1] not in _SEARCHES]
        lines += [f"## {env_id}", words, *_head(_COLUMNS)]
        for (count, method, package), found in rows:
            lines.append(_row(count, method, package, found, "normalised"))
            if "normalised_shielded" in found[0]:
                lines.append(
                    _row(count, "cloning, shielded", package, found, "normalised_shielded")
                )
        searches = [(key, found) for key, found in sorted(groups.items()) if key[1] in _SEARCHES]
        if searches:
            lines += [
                _SEARCH,
                *_head(_SEARCH_COLUMNS),
                *(_search_row(method, count, found) for (count, method, _), found in searches),
            ]
        lines.append("")
    return "\n".join(lines)


def _head(columns: list[str]) -> tuple[str, str]:
    return f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"


def _row(count: int, method: str, package: str, found: list[dict[str, Any]], key: str) -> str:
    scores = [one[key] for one in found]
    labels, steps = (max(one[name] for one in found) for name in ("labels", "env_steps"))
    seconds, cpu = (
        statistics.median(one[name] for one in found) for name in ("seconds", "cpu_seconds")
    )
    return (
        f"| {count} | {method} | {package} | {statistics.fmean(scores):.3f} | {min(scores):.3f} | "
        f"{labels:,} | {steps:,} "
        f"| {seconds:.1f} | {cpu:.1f} | {len(found)} |"
    )


def _search_row(method: str, count: int, found: list[dict[str, Any]]) -> str:
    before = [one["normalised_before"] for one in found if "normalised_before" in one]
    after, steps = [one["normalised"] for one in found], [one["env_steps"] for one in found]
    reached = sum("target" in one["reason"] for one in found)
    passed = [one.get("env_steps_to_pass") for one in found]
    start = f"cloned from {count} demonstrations" if method == "jump start" else "a cold one"
    begun = ", ".join(f"{score:.2f}" for score in before) or "-"
    return (
        f"| {start} | {begun} | {', '.join(f'{score:.2f}' for score in after)} | {min(after):.3f} "
        f"| {', '.join('never' if count is None else f'{count:,}' for count in passed)} "
        f"| {statistics.median(steps):,.0f} | {reached} of {len(found)} "
        f"| {statistics.median(one['cpu_seconds'] for one in found):.1f} |"
    )
