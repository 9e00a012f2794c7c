"""``esengine bench``: what the machine can do, what the engine reaches of it, and what plain code reaches, side by side.

All figures of a row are measured in one run, alternating; a ratio is ours over the other, higher is better.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from esengine import kernels
from esengine.environments import EnvironmentSpec
from esengine.errors import UserError, listed
from esengine.noise import create_table
from esengine.policies import Actor, PolicySpec, forward_reference
from esengine.simulators import make_simulator
from esengine.spaces import describe


@dataclass(frozen=True)
class BenchSettings:
    """Measure the engine on this machine."""

    json: Path | None = None
    """Also write the rows to this file."""
    repeats: int = 7
    """Alternating measurements of each figure; the median is shown."""
    env_ids: tuple[str, ...] = ("CartPole-v1", "Pendulum-v1", "HalfCheetah-v5", "Swimmer-v5")
    """Environments of bench rollouts."""

    def check(self) -> None:
        """Raises UserError for values that measure nothing."""
        if self.repeats < 1:
            raise UserError(f"--repeats must be at least 1, got {self.repeats}; use 7")


@dataclass(frozen=True)
class Figure:
    """One measured row.

    Attributes:
        name: what was measured.
        value: ours, in ``unit``; higher is better.
        unit: of ``value``.
        against: what it is compared with, measured in the same run.
        ratio: ours over the other.
        goal: the bound on ``ratio`` that the project promises, or None.
    """

    name: str
    value: float
    unit: str
    against: str
    ratio: float
    goal: float | None = None


def bench(subject: str, settings: BenchSettings) -> int:
    """Measure a subject, print its table and return 0, or 1 if a promised bound was missed.

    Raises:
        UserError: there is no such subject.
    """
    if subject not in SUBJECTS:
        raise UserError(f"bench must be one of {listed(SUBJECTS)}, got {subject!r}; see esengine bench --help")
    settings.check()
    figures = SUBJECTS[subject](settings)
    table = Table("what", "value", "unit", "against", "ratio", "goal", box=None, pad_edge=False)
    for figure in figures:
        missed = figure.goal is not None and figure.ratio < figure.goal
        ratio = f"[red]{figure.ratio:.2f}[/red]" if missed else f"{figure.ratio:.2f}"
        goal = "" if figure.goal is None else f"{figure.goal:g}"
        table.add_row(figure.name, f"{figure.value:,.4g}", figure.unit, figure.against, ratio, goal)
    Console(highlight=False, width=None).print(table)
    if settings.json is not None:
        settings.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
    return 1 if any(figure.goal is not None and figure.ratio < figure.goal for figure in figures) else 0


def paired(ours: Callable[[], object], theirs: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median seconds of two functions, called in turns after one call each that does not count."""
    ours(), theirs()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for function, seconds in zip((ours, theirs), times, strict=True):
            began = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - began)
    return statistics.median(times[0]), statistics.median(times[1])


@njit(cache=True, error_model="numpy", fastmath=True)
def _read(values: NDArray[np.float32]) -> np.float32:
    """A sum in four streams that the compiler may reorder: the sequential read bandwidth of one core."""
    quarter = values.size // 4
    a, b, c, d = values[:quarter], values[quarter : 2 * quarter], values[2 * quarter : 3 * quarter], values[3 * quarter :]
    total = np.float32(0)
    for k in range(quarter):
        total += (a[k] + b[k]) + (c[k] + d[k])
    return total


@njit(cache=True, error_model="numpy")
def _triad(a: NDArray[np.float32], b: NDArray[np.float32], scale: np.float32, out: NDArray[np.float32]) -> None:
    for k in range(a.size):
        out[k] = a[k] + scale * b[k]


def bench_kernels(settings: BenchSettings) -> list[Figure]:
    """Each kernel against the machine's own bandwidth, measured in the same run, and against NumPy."""
    table = create_table(0, 26, 1 << 20, None).table  # 256 MB, far out of the caches
    figures = []
    for size, members in ((10_000, 1000), (100_000, 1000), (1_000_000, 200)):
        figures += _population_sum(table, size, members, settings.repeats)
    for size in (1_000, 100_000, 1_000_000):
        figures += _perturbation(table, size, settings.repeats)
    return figures


def _population_sum(table: NDArray[np.float32], size: int, members: int, repeats: int) -> list[Figure]:
    random = np.random.default_rng(0)
    starts = random.integers(0, (table.size - size) // 16, members) * 16
    weights = random.standard_normal(members).astype(np.float32)
    out, batch = np.empty(size, np.float32), np.empty((500, size), np.float32)
    read_bytes = 4 * size * members
    block = table[: min(table.size, size * members)]

    def ours() -> None:
        kernels.weighted_noise_sum(weights, table, starts, 0, out)

    def batched() -> None:
        """The sum of OpenAI's code: rows copied into a batch of 500, then a product."""
        total = np.zeros(size, np.float32)
        for low in range(0, members, 500):
            rows = batch[: min(500, members - low)]
            for row, start in zip(rows, starts[low : low + 500], strict=True):
                row[:] = table[start : start + size]
            total += np.dot(weights[low : low + 500], rows)

    mine, reading = paired(ours, lambda: _read(block), repeats)
    bandwidth = 4 * block.size / reading
    again, theirs = paired(ours, batched, repeats)
    name = f"noise sum, {members} x {size:,}"
    gigabytes = read_bytes / mine / 1e9
    goals = (0.85, 5.0) if size >= 100_000 else (None, None)
    return [
        Figure(name, gigabytes, "GB/s", f"read {bandwidth / 1e9:.1f} GB/s", gigabytes * 1e9 / bandwidth, goals[0]),
        Figure(name, members / again, "rows/s", f"OpenAI-style {members / theirs:,.0f}", theirs / again, goals[1]),
    ]


def _perturbation(table: NDArray[np.float32], size: int, repeats: int) -> list[Figure]:
    random = np.random.default_rng(1)
    count = max(1, 4_000_000 // size)
    starts = random.integers(0, (table.size - size) // 16, count) * 16
    parent = random.standard_normal(size).astype(np.float32)
    out = np.empty(size, np.float32)
    other = np.empty((count, size), np.float32)
    other[:] = 1

    def ours() -> None:
        for start in starts:
            kernels.perturb(parent, table, start, np.float32(0.1), out)

    def triad() -> None:
        for row in other:
            _triad(parent, row, np.float32(0.1), out)

    def plain() -> None:
        for start in starts:
            np.add(parent, np.float32(0.1) * table[start : start + size], out=out)

    mine, peak = paired(ours, triad, repeats)
    again, theirs = paired(ours, plain, repeats)
    name, moved = f"perturbation, {size:,}", 12 * size * count / 1e9
    goal = 0.8 if size >= 100_000 else None
    return [
        Figure(name, moved / mine, "GB/s", f"triad {moved / peak:.1f} GB/s", peak / mine, goal),
        Figure(name, count / again, "rows/s", f"NumPy {count / theirs:,.0f}", theirs / again),
    ]


def bench_rollouts(settings: BenchSettings) -> list[Figure]:
    """Steps a second of one core with a 2x32 tanh policy, against a plain loop (gymnasium, NumPy) and against raw physics."""
    figures = []
    for env_id in settings.env_ids:
        spec = EnvironmentSpec(env_id)
        env = spec.make()
        observations, action = describe(env)
        env.close()
        policy = PolicySpec(observations.dim, action, (32, 32))
        parameters = 0.3 * np.random.default_rng(0).standard_normal(policy.num_parameters).astype(np.float32)
        mean = np.zeros(observations.dim, np.float32)
        actor = Actor(policy, parameters, mean, np.ones_like(mean))
        figures += _rollout_figures(spec, actor, settings.repeats)
    return figures


def _rollout_figures(spec: EnvironmentSpec, actor: Actor, repeats: int) -> list[Figure]:
    observations, _ = describe(spec.make())
    simulator, stepped = (make_simulator(spec, observations, backend) for backend in ("auto", "gymnasium"))
    moments = np.zeros(1 + 2 * observations.dim)
    num_episodes = max(1, 2000 // simulator.run(actor, 0).num_steps)

    def steps(run: Callable[[int], int]) -> int:
        return sum(run(seed) for seed in range(num_episodes))

    def ours() -> int:
        return steps(lambda seed: simulator.run(actor, seed, moments).num_steps)

    def through_gymnasium() -> int:
        return steps(lambda seed: stepped.run(actor, seed, moments).num_steps)

    plain = PlainLoop(spec, actor)
    count = ours()
    mine, theirs = paired(ours, lambda: steps(plain.episode), repeats)
    compiled = type(simulator).__name__ != "GymnasiumSimulator"
    goal = 30.0 if spec.env_id in ("CartPole-v1", "Pendulum-v1") else None
    name = f"{spec.env_id} {'compiled' if compiled else 'stepped'}"
    against = f"plain loop {count / theirs:,.0f}"
    figures = [Figure(name, count / mine, "steps/s", against, theirs / mine, goal)]
    if hasattr(plain.env.unwrapped, "frame_skip"):
        raw = RawPhysics(plain, num_episodes)
        mine, theirs = paired(ours, raw.run, repeats)
        figures.append(Figure(name, count / mine, "steps/s", f"raw mj_step {count / theirs:,.0f}", theirs / mine, 0.9))
        mine, theirs = paired(through_gymnasium, raw.run, repeats)
        against = f"raw mj_step {count / theirs:,.0f}"
        figures.append(Figure(f"{spec.env_id} stepped", count / mine, "steps/s", against, theirs / mine, 0.75))
    return figures


class PlainLoop:
    """What a script does without this project: gymnasium's step and a policy in NumPy."""

    def __init__(self, spec: EnvironmentSpec, actor: Actor) -> None:
        self.env, self.actor = spec.make(), actor
        self._sizes = np.array(actor.spec.layer_sizes)

    def act(self, observation: Any) -> Any:
        """The action of the same policy, computed by NumPy."""
        flat = np.asarray(observation, np.float32)
        mean, inverse_std = self.actor.observation_mean, self.actor.observation_inverse_std
        outputs = forward_reference(self.actor.parameters, self._sizes, flat, mean, inverse_std)
        if self.actor.spec.action.kind == "discrete":
            return int(np.argmax(outputs))
        space: Any = self.env.action_space
        return np.clip(outputs * (space.high - space.low) / 2, space.low, space.high)

    def episode(self, seed: int) -> int:
        """Run one episode; returns its steps."""
        observation, _ = self.env.reset(seed=seed)
        for step in range(1, 1_000_000):
            observation, _, terminated, truncated, _ = self.env.step(self.act(observation))
            if terminated or truncated:
                return step
        raise AssertionError("an episode must end")


class RawPhysics:
    """MuJoCo's steps alone, from Python, on the controls that a plain loop gave, with nothing else to do."""

    def __init__(self, plain: PlainLoop, num_episodes: int) -> None:
        self._env: Any = plain.env
        self._controls: list[list[Any]] = []
        for seed in range(num_episodes):
            observation, _ = self._env.reset(seed=seed)
            controls, over = [], False
            while not over:
                controls.append(plain.act(observation))
                observation, _, terminated, truncated, _ = self._env.step(controls[-1])
                over = terminated or truncated
            self._controls.append(controls)

    def run(self) -> None:
        """All episodes' physics."""
        import mujoco

        task = self._env.unwrapped
        for seed, controls in enumerate(self._controls):
            self._env.reset(seed=seed)
            for control in controls:
                task.data.ctrl[:] = control
                mujoco.mj_step(task.model, task.data, nstep=task.frame_skip)


SUBJECTS: dict[str, Callable[[BenchSettings], list[Figure]]] = {"kernels": bench_kernels, "rollouts": bench_rollouts}
