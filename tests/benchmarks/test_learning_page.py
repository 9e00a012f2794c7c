"""The page of learning results: what it counts, and what it admits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.learning.cases import CASES, SEEDS, Case
from benchmarks.learning.run import Outcome, outcome, page, read_results, write_page
from esengine.launch.settings.methods import settings_of
from esengine.launch.settings.train_settings import TrainSettings

CASE = Case("ars", "Swimmer-v5", 325, 4000, (), "100")


def write_run(folder: Path, returns: list[float], done: bool = True) -> Path:
    folder.mkdir()
    rows = []
    for index, value in enumerate(returns, 1):
        row = {
            "evaluations": 20 * index,
            "env_steps": 1000 * index,
            "machine": {"elapsed_s": 2.0 * index},
        }
        rows += [
            row | {"generation": 2 * index - 1},
            row | {"generation": 2 * index, "episode_return_eval": value},
        ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if done:
        (folder / "done.json").write_text(json.dumps({"final_return": returns[-1] - 1}))
    return folder


def test_episodes_are_counted_to_the_first_evaluation_at_the_threshold(tmp_path: Path) -> None:
    reached = outcome(CASE, write_run(tmp_path / "reached", [100, 330, 320, 340]))
    assert reached == Outcome(40, 2000, 339, 8.0)
    assert outcome(CASE, write_run(tmp_path / "never", [100, 200])) == Outcome(None, 2000, 199, 4.0)
    assert outcome(CASE, write_run(tmp_path / "open", [100, 330], done=False)) is None


def test_seeds_whose_runs_are_not_here_stay_in_the_results(tmp_path: Path) -> None:
    case = CASES[0]
    earlier = Outcome(120, 1, 330.0, 1.0)
    (tmp_path / "results.json").write_text(json.dumps({case.name: {"1": earlier._asdict()}}))
    write_run(tmp_path / f"{case.name}-0", [case.threshold + 1])
    write_page(tmp_path, tmp_path)
    assert read_results(tmp_path)[case] == {0: Outcome(20, 1000, case.threshold, 2.0), 1: earlier}
    assert "2 of 2" in (tmp_path / "RESULTS.md").read_text()


def test_the_median_counts_seeds_that_never_got_there() -> None:
    there, never = Outcome(120, 1, 330, 1), Outcome(None, 1, 50, 1)
    assert "| 5 | 120 | 120, 120, 120, never, never | 100 | 330" in page(
        {CASE: [there] * 3 + [never] * 2}
    ).replace("3 of 5", "5")
    assert "not within 4,000" in page({CASE: [there] * 2 + [never] * 3})


def test_what_has_not_run_is_named() -> None:
    assert "Not run yet, or not with every seed: ars-Swimmer-v5." in page(
        {CASE: [Outcome(120, 1, 330, 1)]}
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_is_a_command_of_flags_that_exist(case: Case) -> None:
    train, search = set(vars(TrainSettings())), set(vars(settings_of(case.method)()))
    flags = [
        argument[2:].removeprefix("no-").replace("-", "_")
        for argument in case.command(0)
        if argument.startswith("--")
    ]
    assert set(flags) <= train | search
    assert len({each.name for each in CASES}) == len(CASES)
    assert len(SEEDS) == 5
