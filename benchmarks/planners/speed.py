"""Planners on MuJoCo's robots: labels a second of the compiled loop and of ``mujoco.rollout`` with
threads, and how cheap a plan may be.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import gymnasium
import mujoco
import numpy as np
from mujoco import rollout
from numpy.typing import NDArray

from esengine.algorithms.planners import PlannerExpert
from esengine.environments import EnvironmentSpec
from esengine.launch.settings.planners import load_planner
from esengine.simulators import Dynamics, make_dynamics
from esengine.simulators.mujoco import MujocoDynamics

Row = dict[str, Any]
STEPS = 200  # of an episode


class Robot(NamedTuple):
    """A robot of gymnasium's, and what its planners look at.

    Attributes:
        env_id: the robot.
        horizons: of plans.
        height: the least and most height that is healthy, or None if it cannot fall.
        angle: the largest angle of the trunk that is healthy.
    """

    env_id: str
    horizons: tuple[int, int]
    height: tuple[float, float] | None = None
    angle: float = np.inf


ROBOTS = [
    Robot("HalfCheetah-v5", (20, 10)),
    Robot("Hopper-v5", (50, 30), (0.7, np.inf), 0.2),
    Robot("Walker2d-v5", (40, 25), (0.8, 2.0), 1.0),
]
SIZES = [(16, 4), (32, 1), (16, 1), (8, 1)]  # candidates, iterations
COLD = (16, 1)


class RolloutDynamics(MujocoDynamics):
    """A robot whose candidates ``mujoco.rollout`` steps in threads. Their rewards are computed from
    the states after each action.

    Args:
        env: owned by these dynamics.
        robot: what it is.
        threads: number of them.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], robot: Robot, threads: int) -> None:
        super().__init__(env)
        task: Any = env.unwrapped
        self._model, self._robot = task.model, robot
        self._skip, self._dt = int(task.frame_skip), float(task.dt)
        self._forward, self._cost = task._forward_reward_weight, task._ctrl_cost_weight
        self._healthy = 0.0 if robot.height is None else task._healthy_reward
        self._data = [mujoco.MjData(task.model) for _ in range(threads)]
        self._pool = rollout.Rollout(nthread=threads if threads > 1 else 0)

    def returns(
        self, state: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        nq, n = self._model.nq, self.num_coordinates
        actions = controls.astype(np.float32).astype(np.float64)
        start = np.concatenate([[0.0], state[:n]])  # time, positions, velocities
        after, _ = self._pool.rollout(
            self._model,
            self._data,
            np.tile(start, (len(actions), 1)),
            np.repeat(actions, self._skip, axis=1),
            initial_warmstart=np.tile(state[n : n + self._model.nv], (len(actions), 1)),
        )
        after = after[:, self._skip - 1 :: self._skip]

        places = np.concatenate([np.full((len(actions), 1), state[0]), after[:, :, 1]], axis=1)
        rewards = self._forward * np.diff(places, axis=1) / self._dt
        rewards -= self._cost * (actions**2).sum(axis=2)
        if self._robot.height is None:
            return np.asarray(rewards.sum(axis=1))

        low, high = self._robot.height
        height, angle = after[:, :, 2], after[:, :, 3]
        healthy = (low < height) & (height < high) & (np.abs(angle) < self._robot.angle)
        healthy &= self._inside(after[:, :, 1 : 1 + nq], after[:, :, 1 + nq :])
        before = np.cumprod(np.insert(healthy, 0, True, axis=1), axis=1)[:, :-1]
        return np.asarray((before * (rewards + self._healthy * healthy)).sum(axis=1))

    def _inside(
        self, positions: NDArray[np.float64], velocities: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Whether all of a hopper's numbers are within its bounds; a walker has none."""
        if "Hopper" not in self._robot.env_id:
            return np.ones(positions.shape[:2], np.bool_)
        rest = np.concatenate([positions[:, :, 2:], velocities], axis=2)
        return np.asarray((np.abs(rest) < 100).all(axis=2))


def measure_loops(num_labels: int = 40) -> Iterator[Row]:
    """Labels a second of processor time and of wall time, of the same plans."""
    for robot in ROBOTS:
        spec = EnvironmentSpec(robot.env_id)
        planner = load_planner(
            "cross-entropy",
            (f"horizon={robot.horizons[0]}", "num_candidates=32", "num_iterations=1"),
        )
        compiled = make_dynamics(spec)
        found = [("compiled loop", 1, compiled)]
        found += [
            ("mujoco.rollout", threads, RolloutDynamics(spec.open(), robot, threads))
            for threads in (1, 2)
        ]
        for name, threads, dynamics in found:
            returned, cpu_s, wall_s = _episode(spec, PlannerExpert(planner, dynamics), num_labels)
            yield {
                "env_id": robot.env_id,
                "loop": name,
                "threads": threads,
                "horizon": robot.horizons[0],
                "labels_per_cpu_s": round(num_labels / cpu_s, 1),
                "labels_per_s": round(num_labels / wall_s, 1),
                "error": float(f"{_error(spec, compiled, dynamics):.1e}"),
                "return": round(returned, 2),
            }


def measure_settings(episodes: int, names: list[str]) -> Iterator[Row]:
    """Returns and labels a second of plans that cost less and less, of the robots with these
    names.
    """
    for robot in (one for one in ROBOTS if one.env_id in names):
        spec = EnvironmentSpec(robot.env_id)
        dynamics = make_dynamics(spec)
        for warm, horizon, (candidates, iterations) in [
            *((True, robot.horizons[0], size) for size in SIZES),
            *((True, robot.horizons[1], size) for size in SIZES[2:]),
            (False, robot.horizons[0], COLD),
        ]:
            planner = load_planner(
                "cross-entropy",
                (
                    f"horizon={horizon}",
                    f"num_candidates={candidates}",
                    f"num_iterations={iterations}",
                ),
            )
            expert = (PlannerExpert if warm else ColdExpert)(planner, dynamics)
            runs = [_episode(spec, expert, STEPS, seed) for seed in range(episodes)]
            labels = episodes * STEPS
            yield {
                "env_id": robot.env_id,
                "warm": warm,
                "horizon": horizon,
                "candidates": candidates,
                "iterations": iterations,
                "episodes": episodes,
                "return": round(float(np.mean([one[0] for one in runs])), 1),
                "labels_per_cpu_s": round(labels / sum(one[1] for one in runs), 1),
            }


class ColdExpert(PlannerExpert):
    """Plans every step from the middle of the controls' range."""

    def control(self, state: NDArray[np.float64]) -> NDArray[np.float64]:
        self.plan = None
        return super().control(state)


def _episode(
    spec: EnvironmentSpec, expert: PlannerExpert, num_steps: int, seed: int = 0
) -> tuple[float, float, float]:
    """The return of an episode of at most ``num_steps`` steps, and the processor and wall time of
    so many plans; those after a fall are counted at the speed of those before.
    """
    env = spec.make()
    observation, _ = env.reset(seed=seed)
    expert.begin(env, seed)
    expert.act(observation)  # compiles
    expert.begin(env, seed)
    total, cpu_s, wall_s, labels = 0.0, 0.0, 0.0, 0
    terminated = False
    while labels < num_steps and not terminated:
        began = time.process_time(), time.perf_counter()
        action = expert.act(observation)
        cpu_s += time.process_time() - began[0]
        wall_s += time.perf_counter() - began[1]
        observation, reward, terminated, _, _ = env.step(action)
        total, labels = total + float(reward), labels + 1
    env.close()
    return total, cpu_s * num_steps / labels, wall_s * num_steps / labels


def _error(spec: EnvironmentSpec, compiled: Dynamics, other: Dynamics) -> float:
    """The largest difference of the returns of 32 random candidates."""
    env = spec.make()
    env.reset(seed=1)
    state = compiled.state_of(env)
    random = np.random.default_rng(0)
    controls = random.uniform(compiled.low, compiled.high, (32, 10, compiled.low.size))
    found = compiled.returns(state, controls) - other.returns(state, controls)
    env.close()
    return float(np.abs(found).max())
