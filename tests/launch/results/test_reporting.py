"""A report is one page that a real browser shows whole, without asking any server; its command
repeats the run.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from esengine.algorithms import CMAESSettings, OpenAIESSettings
from esengine.launch.results.reporting.report import ReportSettings, report
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.settings.config import RunConfig, command_of
from esengine.launch.settings.train_settings import TrainSettings
from esengine.launch.training import commands
from esengine.ranks import StopRequest
from tests.conftest import Run
from tests.support.rows import curve_row
from tests.support.words import words

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PROBE = """<script>addEventListener("load", () => {
  const pictures = [...document.images].map(image => image.naturalWidth);
  document.querySelector("details").open = true;
  const wide = document.documentElement.scrollWidth > innerWidth;
  document.body.textContent = JSON.stringify({pictures, wide, text: document.body.innerText});
});</script>"""


def in_browser(page: Path, width: int = 1000) -> dict[str, Any]:
    """What a headless browser makes of the page, asked by a script that the page itself would not
    run.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("needs a browser: apt-get install chromium")
    probed = page.with_name("probed.html")
    text = page.read_text().replace(
        "default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'"
    )
    probed.write_text(text.replace("</body>", PROBE + "</body>"))
    flags = [
        *words("--headless --no-sandbox --disable-gpu --no-first-run"),
        f"--user-data-dir={page.parent / 'profile'}",
    ]
    flags += [
        f"--disable-{what}"
        for what in ("quic", "background-networking", "component-update", "sync")
    ]
    command = [browser, *flags, f"--window-size={width},900", "--dump-dom", probed.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    body = re.search(r"<body>(.*)</body>", shown, re.DOTALL)
    assert body is not None
    found: dict[str, Any] = json.loads(unescape(body.group(1)))
    return found


def test_a_browser_shows_the_report_of_a_real_run(esengine_here: Run, tmp_path: Path) -> None:
    train = words("train cma-es --env-id CartPole-v1 --generations 4 --eval-every 2 --ranks 1")
    assert esengine_here(*train, "--run-dir", "a <b> & c").returncode == 0
    result = esengine_here("report", "a <b> & c", "--seconds", "0.5", "--out", "run.html")
    assert (result.returncode, result.stdout) == (0, "run.html\n"), result.stderr
    page = (tmp_path / "run.html").read_text()
    assert set(re.findall(r'(?:src|href)="([^"]{5})', page)) == {"data:"}
    assert "http" not in re.sub(r"base64,[^\"]*", "", page).replace("http-equiv", "")
    assert "<b> & c" not in page
    seen = in_browser(tmp_path / "run.html")
    assert len(seen["pictures"]) == 6
    assert min(seen["pictures"]) > 100
    for part in (
        "cma-es on CartPole-v1, seed 0", "a <b> & c", "DONE", "4 generations", "--eval-every", "None: no member failed",
        "The policy, the first", "Learning curve", "Axes of the search distribution", "done",
        "esengine train cma-es --env-id CartPole-v1 --generations 4 --eval-every 2", "numpy==",
    ):  # fmt: skip
        assert part.lower() in seen["text"].lower()
    assert not in_browser(tmp_path / "run.html", width=500)["wide"]


def test_failures_are_listed_and_a_run_that_has_not_begun_has_a_page(tmp_path: Path) -> None:
    train = TrainSettings(env_id="CartPole-v1", generations=30)
    run = RunDirectory.create(tmp_path / "run", RunConfig("cma-es", train, CMAESSettings()))
    out = tmp_path / "run.html"
    report(run.path, ReportSettings(out))
    assert "No generation has ended yet." in out.read_text()
    assert "Not filmed: a policy must be" in out.read_text()
    for _ in range(2):
        run.add_start(3)
    run.note(outcome="failed")
    for generation in range(1, 31):
        run.metrics.add(curve_row(generation, 1.0) | {"failed_members": 2, "population_size": 12})
    report(run.path, ReportSettings(out, film=False))
    text = out.read_text()
    assert "60 members failed in 30 generations." in text
    assert "... and 10 more generations" in text
    assert "was killed; a later one resumed the run" in text
    assert re.search(r"The start of \S+ on \S+ failed\.", text)


def test_a_learner_without_a_population_has_a_page(tmp_path: Path) -> None:
    train = TrainSettings(env_id="CartPole-v1")
    run = RunDirectory.create(tmp_path / "run", RunConfig("cma-es", train, CMAESSettings()))
    for generation in (1, 2):
        counted = {
            "generation": generation,
            "env_steps": 0,
            "evaluations": 0,
            "failed_members": 0,
            "loss": 1 / generation,
        }
        run.metrics.add(
            counted
            | {
                "machine": {
                    "workers": 2,
                    "steps_per_s": 0.0,
                    "elapsed_s": 1.0,
                    "seconds": {"update": 1.0},
                }
            }
        )
    report(run.path, ReportSettings(tmp_path / "run.html", film=False))
    assert (tmp_path / "run.html").read_text().count("<figure") == 1


def test_the_command_of_a_run_gives_its_settings_back(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[RunConfig] = []
    monkeypatch.setattr(commands, "start", lambda config, stop: given.append(config))
    settings = TrainSettings(
        env_id="Hopper-v5", env_arg=("forward_reward_weight=2.0", "name=a b"), hidden_sizes=(8, 4), max_time=1e4,
        normalize_observations=False, fresh_env=True, seed=3, episode_seeds="member", target_return=-5.5,
    )  # fmt: skip
    for config in (
        RunConfig("openai-es", settings, OpenAIESSettings(population_size=64, sigma=0.125)),
        RunConfig(
            "cma-es", TrainSettings(objective="a:b", dimension=3, minimize=True), CMAESSettings()
        ),
    ):
        words = command_of(config)
        assert words[:2] == ["esengine", "train"]
        commands.train_command(words[2:], StopRequest())
        assert given[-1] == config
