"""Films of a policy: episodes rendered without a screen, as GIF by Pillow or MP4 by ffmpeg."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from esengine.checks import at_least, writable_file
from esengine.environments import EnvironmentSpec
from esengine.errors import UserError, listed, pip_install, put
from esengine.launch.results.elites import policy_at
from esengine.launch.results.evaluation import evaluation_episodes, policy_problem
from esengine.launch.settings.flags import parse_with_argument
from esengine.policies import Actor
from esengine.problems import EnvironmentProblem
from esengine.ranks import StopRequest
from esengine.simulators import Episode
from esengine.simulators.stepped import run_episode
from esengine.storage.files import replacing
from esengine.user_code import close

FORMATS = (".gif", ".mp4")
_GIF_FPS = 25.0  # more frames a second make a GIF large, and browsers slow them down
_COLOURS = 128
_PALETTE_FRAMES = 8
_OFF_SCREEN = ("egl", "osmesa")

Frames = list[NDArray[np.uint8]]
"""(height, width, 3) each."""


@dataclass(frozen=True)
class RenderSettings:
    """Film a policy. No screen is needed."""

    out: Path
    """The film to write: .gif or .mp4."""
    episodes: int = 1
    """Number of episodes to film: the first ones that esengine evaluate runs with this --seed."""
    seed: int = 0
    """Seed of the start states and of sampled actions."""
    seconds: float = 10.0
    """Longest film of one episode, in seconds; 0 films whole episodes."""
    width: int = 400
    """Width in pixels; the height follows."""
    cell: str | None = None
    """The elite to film, by its cell in the archive of the run, such as 3,7; or best."""
    trust_modules: bool = False
    """Import the module to which the policy's file refers, which runs its code."""

    def check(self) -> None:
        """Raises UserError for values that no film can have."""
        writable_file(self, "out", *FORMATS)
        at_least(self, 1, "episodes")
        at_least(self, 0, "seed", "seconds")
        at_least(self, 16, "width")


@dataclass(frozen=True)
class Film:
    """What was rendered.

    Attributes:
        frames: of all episodes, in the size of the film.
        fps: frames a second at the environment's own speed.
        episodes: the results of each until it ended or its film was cut.
        cut: for each, whether its film was cut before it ended.
    """

    frames: Frames
    fps: float
    episodes: tuple[Episode, ...]
    cut: tuple[bool, ...]


def render_command(argv: list[str], stop: StopRequest) -> int:
    """Write the film; returns the exit status. Raises UserError for a policy that cannot be
    filmed.
    """
    about = "A run directory, a policy file or, with --cell, an archive file."
    policy, settings = parse_with_argument(RenderSettings, argv, "esengine render", "policy", about)
    film = render(policy, settings)
    for number, (episode, was_cut) in enumerate(zip(film.episodes, film.cut, strict=True)):
        length = f"{episode.num_steps} steps"
        if was_cut:
            length = f"its first {length}; --seconds 0 films whole episodes"
        put(f"episode {number}: return {episode.episode_return:.2f} in {length}")
    put(f"{len(film.frames)} frames in {settings.out}")
    return 0


def render(path: Path, settings: RenderSettings) -> Film:
    """Film the policy of a run, or of a policy file, and write the film.

    Raises:
        UserError: there is no such policy, its environment draws no pictures, or this machine lacks
            what draws them.
    """
    settings.check()
    if settings.out.suffix.lower() == ".mp4":
        _ffmpeg()
    policy = policy_at(path, settings.cell)
    find_off_screen(policy.environment)
    problem, parameters = policy_problem(path, settings.seed, settings.trust_modules, policy=policy)
    mean, inverse_std = problem.scaling()
    film = film_episodes(problem, Actor(problem.policy, parameters, mean, inverse_std), settings)
    with replacing(settings.out) as aside:
        write_film(film, aside)
    return film


def film_episodes(problem: EnvironmentProblem, actor: Actor, settings: RenderSettings) -> Film:
    """Run episodes as an evaluation does, with a picture of every step.

    Raises:
        UserError: the environment draws no pictures, or drawing failed.
    """
    env = _drawing(problem.environment)
    try:
        fps = float(env.metadata.get("render_fps") or 30)
        most = problem.max_episode_steps or math.inf
        steps = min(most, round(settings.seconds * fps) or math.inf)
        limit = None if math.isinf(steps) else int(steps)
        is_gif = settings.out.suffix.lower() == ".gif"
        every = max(1, round(fps / _GIF_FPS)) if is_gif else 1
        # H.264 halves the resolution of colours
        camera = _Camera(env, every, settings.width, multiple=1 if is_gif else 2)

        evaluated = evaluation_episodes(settings.seed, settings.episodes, actor.parameters)
        seeds = problem.seeds(evaluated, np.arange(settings.episodes), 1)[:, 0]
        episodes = []
        cut = []
        for seed in seeds.tolist():
            episode = run_episode(camera, problem.observations, actor, seed, None, limit)
            episodes.append(episode)
            cut.append(not camera.has_ended and episode.num_steps < most)
        return Film(camera.frames, fps / every, tuple(episodes), tuple(cut))
    finally:
        close(env)


def find_off_screen(environment: EnvironmentSpec) -> None:
    """Choose how MuJoCo draws without a screen, in ``MUJOCO_GL``, unless the user has chosen.

    EGL is tried first, then OSMesa, each in a separate process, since a process keeps the first one
    that it loads.

    Raises:
        UserError: the environment runs on MuJoCo, and the machine has neither.
    """
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # classic control draws by SDL
    spec = gymnasium.registry.get(environment.env_id)
    if "MUJOCO_GL" in os.environ or spec is None or "mujoco" not in str(spec.entry_point):
        return

    for name in _OFF_SCREEN:
        probe = f"from mujoco.{name} import GLContext; GLContext(16, 16).make_current()"
        found = subprocess.run(
            [sys.executable, "-c", probe],
            env={**os.environ, "MUJOCO_GL": name},
            capture_output=True,
        )
        if found.returncode == 0:
            os.environ["MUJOCO_GL"] = name
            return
    raise UserError(
        f"drawing {environment.env_id} needs EGL or OSMesa, got a machine with neither; "
        "apt-get install libegl1 (or libosmesa6), or load your site's Mesa module"
    )


class _Camera(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Keeps the pictures of an episode's states, every n states, in the size of the film, and
    whether the environment ended the episode.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], every: int, width: int, multiple: int) -> None:
        super().__init__(env)
        self.frames: Frames = []
        self.has_ended = False
        self._every = every
        self._width = width
        self._multiple = multiple  # of pixels, to which width and height are rounded up
        self._steps = 0

    def reset(self, **how: Any) -> Any:
        result = self.env.reset(**how)
        self._steps = 0
        self._shoot()
        return result

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        self.has_ended = bool(result[2] or result[3])
        self._steps += 1
        if self._steps % self._every == 0:
            self._shoot()
        return result

    def _shoot(self) -> None:
        try:
            picture: Any = self.env.render()
        except Exception as error:  # whatever a simulator or its graphics raise
            raise UserError(
                f"the environment must render, but raised {type(error).__name__}: {error}"
            ) from error
        if not isinstance(picture, np.ndarray) or picture.ndim != 3 or picture.shape[2] != 3:
            raise UserError(
                f"the environment must render (height, width, 3) arrays in mode rgb_array, got "
                f"{type(picture).__name__}; return them from render()"
            )
        height = round(picture.shape[0] * self._width / picture.shape[1])
        size = [side + side % self._multiple for side in (self._width, height)]
        image = Image.fromarray(np.asarray(picture, np.uint8))
        self.frames.append(np.array(image.resize(size, Image.Resampling.LANCZOS)))


def _drawing(environment: EnvironmentSpec) -> gymnasium.Env[Any, Any]:
    """The environment in mode rgb_array. Raises UserError if it has none."""
    with environment.opened() as env:
        modes = env.metadata.get("render_modes") or []
    if "rgb_array" not in modes:
        raise UserError(
            f"the environment must have render mode rgb_array, got {environment.env_id} with "
            f"{listed(modes) or 'none'}; add it to its metadata and render()"
        )
    return environment.open(render_mode="rgb_array")


def write_film(film: Film, path: Path) -> None:
    """Write the film in the format of the path's ending. Equal films give equal GIFs."""
    if path.suffix.lower() == ".gif":
        _write_gif(film, path)
    else:
        _write_mp4(film, path)


def _write_gif(film: Film, path: Path) -> None:
    sample = film.frames[:: max(1, len(film.frames) // _PALETTE_FRAMES)]
    # One palette for all, so that colours do not flicker
    strip = Image.fromarray(np.concatenate(sample))
    palette = strip.quantize(_COLOURS, Image.Quantize.MEDIANCUT)

    pictures = [
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
        for frame in film.frames
    ]
    delay_ms = max(20, round(100 / film.fps) * 10)  # a GIF counts hundredths of a second
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=delay_ms, loop=0, optimize=False
    )


def _write_mp4(film: Film, path: Path) -> None:
    height, width = film.frames[0].shape[:2]
    writer = _ffmpeg().write_frames(
        str(path), (width, height), fps=film.fps, macro_block_size=2, ffmpeg_log_level="error"
    )
    writer.send(None)
    for frame in film.frames:
        writer.send(frame.tobytes())
    writer.close()


def _ffmpeg() -> Any:
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise UserError(
            f"an .mp4 needs ffmpeg, which is missing; {pip_install('video')}, or write a .gif"
        ) from error
    return imageio_ffmpeg
