"""Films show the episodes that an evaluation runs, without a screen."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from PIL import Image

from esengine.environments import EnvironmentSpec
from esengine.errors import UserError
from esengine.launch.results.evaluation import EvaluateSettings, evaluate_on
from esengine.launch.results.rendering import RenderSettings, find_off_screen, render
from esengine.ranks import World
from tests.conftest import Run
from tests.support.policies import untrained_policy


def drawn(path: Path) -> list[Any]:
    picture = Image.open(path)
    frames = []
    for index in range(picture.n_frames):  # type: ignore[attr-defined]
        picture.seek(index)
        frames.append(np.asarray(picture.convert("RGB")).astype(int))
    return frames


def test_a_gif_shows_the_episodes_of_an_evaluation(tmp_path: Path) -> None:
    policy = untrained_policy(tmp_path / "policy.safetensors", "CartPole-v1")
    out = tmp_path / "cart.gif"
    film = render(policy, RenderSettings(out, episodes=2, seconds=0, width=120))
    evaluation = evaluate_on(World(), policy, EvaluateSettings(episodes=2))
    assert evaluation is not None
    assert evaluation.returns == tuple(episode.episode_return for episode in film.episodes)
    frames = drawn(out)
    assert film.cut == (False, False)
    assert len(frames) <= len(film.frames)  # equal pictures in a row are one
    assert len(film.frames) == sum(
        1 + episode.num_steps // 2 for episode in film.episodes
    )  # at 25 of 50 frames a second
    assert frames[0].shape == film.frames[0].shape == (80, 120, 3)
    assert Image.open(out).info["duration"] % 40 == 0
    assert np.abs(frames[0] - frames[-1]).sum() > 0
    first = out.read_bytes()
    render(policy, RenderSettings(out, episodes=2, seconds=0, width=120))
    assert out.read_bytes() == first
    assert sorted(os.listdir(tmp_path)) == ["cart.gif", "policy.safetensors"]


def test_an_mp4_plays_at_the_environments_speed(tmp_path: Path, esengine: Run) -> None:
    ffmpeg = pytest.importorskip(
        "imageio_ffmpeg", reason="needs imageio-ffmpeg, of the extra [video]"
    )
    policy = untrained_policy(tmp_path / "policy.safetensors", "Pendulum-v1")
    result = esengine("render", policy, "--seconds", "0.5", "--width", "101", "--out", "swing.mp4")
    assert result.returncode == 0, result.stderr
    told = "in its first 15 steps; --seconds 0 films whole episodes\n16 frames in swing.mp4"
    assert told in result.stdout
    described = next(ffmpeg.read_frames(str(tmp_path / "swing.mp4")))
    assert (described["codec"], described["fps"], described["size"]) == ("h264", 30.0, (102, 102))


def test_mujoco_is_drawn_without_a_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    try:
        find_off_screen(EnvironmentSpec("InvertedPendulum-v5"))
    except UserError:
        pytest.skip("needs EGL or OSMesa: apt-get install libegl1")
    chosen = os.environ["MUJOCO_GL"]
    monkeypatch.setenv("MUJOCO_GL", chosen)  # so that it is taken back
    policy = untrained_policy(tmp_path / "policy.safetensors", "InvertedPendulum-v5")
    film = render(policy, RenderSettings(tmp_path / "pole.gif", seconds=0.2, width=100))
    frames = drawn(tmp_path / "pole.gif")
    assert frames[0].shape == (100, 100, 3)
    assert len(film.frames) > 1
    assert len(np.unique(frames[0].reshape(-1, 3), axis=0)) > 20


def test_a_machine_that_cannot_draw_mujoco_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    failed: subprocess.CompletedProcess[str] = subprocess.CompletedProcess([], 1)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(UserError, match="apt-get install libegl1"):
        find_off_screen(EnvironmentSpec("Hopper-v5"))
    find_off_screen(EnvironmentSpec("CartPole-v1"))


class _Blind(gymnasium.Env[Any, Any]):
    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return np.zeros(2, np.float32), {}


class _Broken(_Blind):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def render(self) -> Any:
        raise OSError("no graphics")


class _Wordy(_Broken):
    def render(self) -> Any:
        return "a cart"


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        (_Blind, "must have render mode rgb_array, got Blind-v0 with none"),
        (_Broken, "raised OSError: no graphics"),
        (_Wordy, "got str"),
    ],
)
def test_an_environment_that_draws_no_pictures_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, part: str
) -> None:
    spec = gymnasium.envs.registration.EnvSpec("Blind-v0", entry_point=kind)
    monkeypatch.setitem(gymnasium.registry, "Blind-v0", spec)
    policy = untrained_policy(tmp_path / "policy.safetensors", "Blind-v0")
    with pytest.raises(UserError, match=part):
        render(policy, RenderSettings(tmp_path / "film.gif"))
    assert not (tmp_path / "film.gif").exists()


def test_flags_that_no_film_can_have_are_told(tmp_path: Path) -> None:
    (tmp_path / "folder.gif").mkdir()
    for settings, part in (
        (RenderSettings(tmp_path / "film.avi"), "must end in .gif, .mp4"),
        (RenderSettings(tmp_path / "folder.gif"), "--out must be a file, got the folder"),
        (RenderSettings(tmp_path / "no" / "film.gif"), "make the folder first"),
        (RenderSettings(tmp_path / "film.gif", episodes=0), "--episodes must be at least 1"),
        (RenderSettings(tmp_path / "film.gif", seconds=-1), "--seconds must be at least 0"),
    ):
        with pytest.raises(UserError, match=part):
            render(tmp_path, settings)
