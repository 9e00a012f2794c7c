"""What a run shows: a live panel on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from esengine.algorithms import CMAESSettings
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.train_settings import TrainSettings
from esengine.launch.terminal.panel import Display, console_here, duration, sparkline
from esengine.launch.terminal.progress import Progress
from esengine.ranks import StopRequest
from tests.support.rows import row


def config(**settings: Any) -> RunConfig:
    return RunConfig("cma-es", TrainSettings(env_id="CartPole-v1", **settings), CMAESSettings())


def shown(terminal: bool, **settings: Any) -> str:
    console = Console(
        file=io.StringIO(), force_terminal=terminal, width=120, highlight=False, color_system=None
    )
    with Display(config(**settings), Path("runs/here"), console) as display:
        display(row(9, fitness_mean=0.5))
        display(row(10, episode_return_eval=7.0))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_plain_lines_without_a_terminal() -> None:
    text = shown(False)
    assert "cma-es on CartPole-v1, seed 0, in runs/here" in text
    line = (
        "generation 10  mean 1.5  best 2.5  evaluated 7  sigma 0.25  1,234 steps/s  busy 97%  "
        "failed 1  left 0:03:00"
    )
    assert line in text.splitlines()
    assert "\x1b" not in text


def test_a_live_panel_on_a_terminal() -> None:
    text = shown(True)
    assert "\x1b" in text
    for part in (
        "cma-es on CartPole-v1, seed 0", "runs/here", "10/100", "0:00:20, left 0:03:00", "mean 1.5   best 2.5   evaluated 7",
        "▁█", "1,234 steps/s   busy 97%   1,000 steps", "sigma 0.25   population 4   workers 2", "1 of this generation, 2 in all",
        "after generation 20, in about 0:00:20",
    ):  # fmt: skip
        assert part in text


def test_the_final_evaluation_has_a_label(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"starts": [{"concluding": true}]}')
    console = Console(file=io.StringIO(), width=120, color_system=None)
    display = Display(config(quiet=True), tmp_path, console)
    display(row(20))
    console.print(display)
    assert isinstance(console.file, io.StringIO)
    assert "the final policy runs 20 fresh episodes" in console.file.getvalue()


def test_a_command_in_a_cell_of_a_notebook_prints_plain_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert console_here().is_terminal
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    assert not console_here().is_terminal


def test_nothing_when_quiet() -> None:
    assert shown(True, quiet=True) == ""


def test_waiting_for_kernels_is_told_and_the_first_generation_says_nothing_of_the_pace() -> None:
    stop = StopRequest()
    for terminal in (False, True):
        text = io.StringIO()
        console = Console(file=text, force_terminal=terminal, width=120, color_system=None)
        with Display(config(), Path("run"), console, stop) as display:
            display.compiling()
            assert not display.is_waiting
            assert display.line() == "waiting for the first generation"
        assert "compiling kernels (once for this machine)" in text.getvalue()
    slow = row(1) | {"machine": {"elapsed_s": 500.0}}
    display.recall(slow)
    assert "left" not in display.line()
    display.recall(row(2) | {"machine": {"elapsed_s": 502.0}})
    assert "left 0:03:16" in display.line()
    stop.received = "SIGINT"
    console.print(display)
    assert "stopping: what is done is being saved" in text.getvalue()


@pytest.mark.parametrize(
    ("budget", "left_s"),
    [
        ({}, 180.0),
        ({"max_time": 40.0}, 20.0),
        ({"max_env_steps": 1250}, 5.0),
        ({"generations": 10}, 0.0),
    ],
)
def test_time_left_is_that_of_the_budget_that_ends_first(
    budget: dict[str, Any], left_s: float
) -> None:
    progress = Progress(config(**budget))
    for generation in range(1, 11):
        progress.add(row(generation))
    assert progress.left_s() == pytest.approx(left_s)


def test_an_evaluation_of_an_earlier_generation_is_named_as_such() -> None:
    display = Display(config(quiet=True), Path("run"))
    display(row(10, episode_return_eval=7.0))
    display(row(11))
    assert "evaluated 7[/bold] (generation 10)" in display.line()


def test_a_cost_is_shown_positive() -> None:
    settings = TrainSettings(objective="module:cost", dimension=2, minimize=True, quiet=True)
    display = Display(RunConfig("cma-es", settings, CMAESSettings()), Path("run"))
    display(row(1, fitness_mean=-3.0, fitness_max=-2.0, env_steps=0))
    display(row(2, fitness_mean=-4.0, fitness_max=-2.5, env_steps=0))
    assert display.line().startswith(
        "generation 2  mean cost 4  best cost 2  sigma 0.25  1,234 evaluations/s"
    )


def test_a_method_that_evaluates_nothing_shows_no_rate() -> None:
    display = Display(config(quiet=True), Path("run"))
    for generation in (1, 2):
        display(row(generation, loss=0.5, labels=9, env_steps=0, evaluations=0))
    assert "loss 0.5  labels 9" in display.line()
    assert "/s" not in display.line()


def test_small_things() -> None:
    assert duration(3661.4) == "1:01:01"
    assert sparkline([0.0, 7.0, 3.5]) == "▁█▅"
    assert sparkline([2.0, 2.0]) == "▁▁"
