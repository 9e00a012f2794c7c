"""Write RESULTS.md from results.jsonl, damage.jsonl and places.jsonl: ``python -m benchmarks.diversity.report``."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.diversity import damage, places
from benchmarks.diversity.run import RESULTS

PAGE = Path(__file__).parent / "RESULTS.md"
_SIDES = ("ours", "pyribs")
Floats = NDArray[np.float64]


class Case(NamedTuple):
    """What was measured with one method on one task, and for how long."""

    task: str
    method: str
    generations: int


def report() -> str:
    """The page."""
    found: dict[Case, dict[str, dict[int, Any]]] = defaultdict(lambda: defaultdict(dict))
    for row in map(json.loads, RESULTS.read_text().splitlines()):
        case = Case(row["task"], row["method"], row["generations"])
        found[case][row["by"]][row["seed"]] = row
    lines = [
        "| task | method | generations | seeds | QD score, pyribs | esengine | ratio | coverage, "
        "pyribs | esengine | generations per s, pyribs | esengine |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_line(case, found[case]) for case in sorted(found)]
    cases = list(map(json.loads, damage.RESULTS.read_text().splitlines()))
    recovery, counts = _recovery(cases)
    ours = [row for row in cases if row["width"] == damage.WIDTHS[1]]
    return _TEXT.format(
        table="\n".join(lines),
        recovery=recovery,
        counts=counts,
        num_cases=len(ours),
        num_lame=sum(not _works(row, "damaged") for row in ours),
        plans=_plans(),
    )


def _line(case: Case, sides: dict[str, dict[int, Any]]) -> str:
    seeds = sorted(set(sides["ours"]) & set(sides["pyribs"]))

    def of(name: str) -> list[Floats]:
        return [np.array([sides[side][seed][name] for seed in seeds]) for side in _SIDES]

    scores, covers, seconds = of("qd_score"), of("coverage"), of("seconds")
    rates = [case.generations / taken.mean() for taken in seconds]
    return (
        f"| {case.task} | {case.method} | {case.generations} | {len(seeds)} | "
        f"{scores[1].mean():,.0f} | {scores[0].mean():,.0f} | {_ratio(*scores)} | "
        f"{covers[1].mean():.4f} | {covers[0].mean():.4f} | {rates[1]:,.0f} | {rates[0]:,.0f} |"
    )


def _recovery(cases: list[dict[str, Any]]) -> tuple[str, str]:
    """The table of damage, and the counts of its variants."""
    found: dict[float, dict[tuple[int, int], dict[str, Any]]] = defaultdict(dict)
    for row in cases:
        found[row["width"]][row["seed"], row["leg"]] = row
    names = [f"width {width}" for width in found]
    lines = [
        "| seed | leg | elites | whole | without the leg | " + " | ".join(names) + " |",
        "|---|---|---|---|---|" + "---|" * len(names),
    ]
    for (seed, leg), row in next(iter(found.values())).items():
        texts = [
            f"{rows[seed, leg]['found']:.2f} ({rows[seed, leg]['trials']})"
            for rows in found.values()
        ]
        lines.append(
            f"| {seed} | {leg} | {row['elites']} | {row['healthy']:.2f} | {row['damaged']:.2f} | "
            + " | ".join(texts)
            + " |"
        )
    return "\n".join(lines), "\n".join([_COUNTED, *_counts(names, list(found.values()))])


def _counts(names: list[str], found: list[dict[tuple[int, int], dict[str, Any]]]) -> list[str]:
    """In how many cases a gait has half of the best policy's speed: in all cases, and in those where
    the best policy has not.
    """
    lines = []
    for where in ("all", "best policy is lame"):
        chosen = [
            [row for row in rows.values() if where == "all" or not _works(row, "damaged")]
            for rows in found
        ]
        lines.append(_count("best policy", where, chosen[0], "damaged"))
        lines += [_count(*each, "found") for each in zip(names, repeat(where), chosen)]
    return lines


def _works(row: dict[str, Any], name: str) -> bool:
    return bool(row[name] >= row["healthy"] / 2)


def _count(name: str, where: str, rows: list[dict[str, Any]], speed: str) -> str:
    working = [row for row in rows if _works(row, speed)]
    legs = [
        f"{sum(row['leg'] == leg for row in working)} of {sum(row['leg'] == leg for row in rows)}"
        for leg in damage.LEGS
    ]
    kept = np.mean([row[speed] / row["healthy"] for row in rows])
    trials = "" if speed == "damaged" else max(row["trials"] for row in rows)
    return (
        f"| {name} | {where} | {len(working)} of {len(rows)} | {' | '.join(legs)} | {kept:.2f} | "
        f"{trials} |"
    )


def _plans() -> str:
    """The table of plans over gaits."""
    lines = [
        "| seed | gaits | places reached by plans | steps to each | most places of one gait |",
        "|---|---|---|---|---|",
    ]
    for row in map(json.loads, places.RESULTS.read_text().splitlines()):
        steps = ", ".join(map(str, row["steps"]))
        lines.append(
            f"| {row['seed']} | {row['gaits']} | {sum(row['reached'])} of {len(row['reached'])} | "
            f"{steps} | {row['alone']} |"
        )
    return "\n".join(lines)


def _ratio(ours: Floats, theirs: Floats) -> str:
    """The ratio of the means, with a 95 % interval by the bootstrap of both."""
    draw = np.random.default_rng(0)
    means = [
        values[draw.integers(values.size, size=(10_000, values.size))].mean(axis=1)
        for values in (ours, theirs)
    ]
    low, high = np.quantile(means[0] / means[1], [0.025, 0.975])
    return f"{ours.mean() / theirs.mean():.4f} ({low:.4f} to {high:.4f})"


_COUNTED = """\
| gait of | cases | works | leg 0 | leg 1 | leg 2 | leg 3 | speed kept | most trials |
|---|---|---|---|---|---|---|---|---|"""
_TEXT = """# Quality diversity beside pyribs

`python -m benchmarks.diversity.run` measures, `python -m benchmarks.diversity.report` writes this
page. Both sides have the same functions of a batch (n = 100), archive (100 x 100 cells), start,
population (540; 15 emitters of 36) and number of evaluations. Seconds are those of the processor,
on one core. Ratios are of means over seeds, with a 95 % interval by the bootstrap.

{table}

What the figures say:

- `map-elites` is within 1 % of pyribs. Three seeds showed -1.2 % on the sphere: its score varies
  by 2.4 % from seed to seed, and sixty seeds give -0.5 %, with an interval that holds 0.
- `cma-me` and `cma-mae` are above pyribs. On the arm it is the choice of parents: pyribs takes all
  members that improve the archive, esengine the better half. With pyribs' `selection_rule="mu"` its
  `cma-me` has 752,808 there. On the sphere it has 343,311 with that rule, and esengine has 380,706
  without negative weights, so **most of that difference is not explained**.
- **esengine is slower** on functions that take microseconds: a generation costs it 1 to 3 ms more
  with `map-elites`, and 15 to 20 ms more with 15 matrices, which it decomposes in every generation
  and pyribs in some.

# Recovery from damage

`python -m benchmarks.diversity.damage` evolves the repertoire of an ant (`examples/walking_ant.py`)
for each of five seeds: `map-elites`, 12 generations of 200 members and 20 evaluations of elites, 2,620
episodes in all, by the share of time that each foot is on the ground. Then the motors of one leg are
switched off, and `trial-and-error` has at most 20 trials, each of one episode. A gait has 24
parameters and sees nothing but a rhythm.

The aim: a working gait within 20 trials for four of five seeds, where the best policy loses half. A
gait *works* if it has at least half of the speed that the best policy of the repertoire has on the
whole ant. **With a kernel of width 0.1 a working gait is found in all {num_cases} cases.** The best
policy itself loses half or more, so it is *lame*, in {num_lame} of them. These are of all five seeds,
but of no leg for more than three: where this ant loses a leg, its best gait mostly limps on.

With the paper's width of 0.4 the search ends too early, after one to four trials, since one bad trial
speaks against nearly all elites. The width 0.1 was chosen on a smaller repertoire of seed 0. There
about 3 % of the elites worked without a leg.

{counts}

Figures are speeds in m/s over 20 fresh episodes, whose starts differ a little: of the best policy on
the whole ant and without the leg, and of what was found, with the number of trials.

{recovery}

# Plans over gaits

`python -m benchmarks.diversity.places` evolves gaits of an ant (`examples/going_ant.py`) by where they
lead within three seconds: `map-elites`, 10 generations of 200 members, no reward. Then the ant is sent
to each of five places, 3 m away and evenly around it, by `collect --skills` over these gaits, which
plans in the simulator. It has 300 steps of 0.1 s. A place is reached within 0.5 m. Beside it: how many
of the five places the best single gait leads to in the same time. The way is free of obstacles, and
only two seeds were measured.

{plans}
"""

if __name__ == "__main__":
    PAGE.write_text(report())
