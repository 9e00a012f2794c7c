"""Rollouts compared with a plain loop over gymnasium, and with MuJoCo's physics alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from esengine.environments import EnvironmentSpec
from esengine.launch.bench.figures import BenchSettings, Figure, paired
from esengine.policies import Actor, PolicySpec
from esengine.simulators import BatchSimulator, make_simulator


def bench_rollouts(settings: BenchSettings) -> list[Figure]:
    """Measure the steps a second of one core with a 2x32 tanh policy, of a plain loop (gymnasium,
    NumPy) and of the physics alone.
    """
    figures = []
    for env_id in settings.env_ids:
        spec = EnvironmentSpec(env_id)
        observations, action = spec.spaces()
        policy = PolicySpec(observations.dim, action, (32, 32))
        random = np.random.default_rng(0)
        parameters = 0.3 * random.standard_normal(policy.num_parameters).astype(np.float32)
        mean = np.zeros(observations.dim, np.float32)
        actor = Actor(policy, parameters, mean, np.ones_like(mean))
        figures += _rollout_figures(spec, actor, settings.repeats)

    return figures


def _rollout_figures(spec: EnvironmentSpec, actor: Actor, repeats: int) -> list[Figure]:
    observations, _ = spec.spaces()
    simulator, stepped = (
        make_simulator(spec, observations, backend) for backend in ("auto", "gymnasium")
    )
    moments = np.zeros(1 + 2 * observations.dim)
    together = isinstance(simulator, BatchSimulator)
    num_episodes = max(64 if together else 1, 2000 // simulator.run(actor, 0).num_steps)

    def steps(run: Callable[[int], int]) -> int:
        return sum(run(seed) for seed in range(num_episodes))

    def ours() -> int:
        if isinstance(simulator, BatchSimulator):
            rows = np.tile(actor.parameters, (num_episodes, 1))
            seeds = np.arange(num_episodes, dtype=np.uint64)[:, None]
            return int(simulator.run_members(actor, rows, seeds, moments)[1].sum())
        return steps(lambda seed: simulator.run(actor, seed, moments).num_steps)

    def through_gymnasium() -> int:
        return steps(lambda seed: stepped.run(actor, seed, moments).num_steps)

    # Compared with a plain loop
    plain = PlainLoop(spec, actor)
    count = ours()
    mine, theirs = paired(ours, lambda: steps(lambda seed: len(plain.episode(seed))), repeats)
    compiled = type(simulator).__name__ != "GymnasiumSimulator"
    goal = 30.0 if spec.env_id in ("CartPole-v1", "Pendulum-v1") else None
    name = f"{spec.env_id} {'compiled' if compiled else 'stepped'}"
    against = f"plain loop {count / theirs:,.0f}"
    figures = [Figure(name, count / mine, "steps/s", against, theirs / mine, goal)]
    if not hasattr(plain.env.unwrapped, "frame_skip"):
        return figures

    # Compared with the same controls and nothing else to do
    replay = Replay(plain, num_episodes)
    stepped_name = f"{spec.env_id} stepped"
    for title, run, alone, what, least in (
        (name, ours, replay.physics, "raw mj_step", 0.9),
        (stepped_name, through_gymnasium, replay.physics, "raw mj_step", None),
        (stepped_name, through_gymnasium, replay.steps, "env.step alone", 0.9),
    ):
        mine, theirs = paired(run, alone, repeats)
        against = f"{what} {count / theirs:,.0f}"
        figures.append(Figure(title, count / mine, "steps/s", against, theirs / mine, least))
    return figures


class PlainLoop:
    """The loop of a script without this project: gymnasium's step and a policy in NumPy, which
    takes observations as they are.
    """

    def __init__(self, spec: EnvironmentSpec, actor: Actor) -> None:
        self.env = spec.make()
        space: Any = self.env.action_space
        self._discrete = actor.spec.action.kind == "discrete"
        if not self._discrete:
            self._low, self._high = space.low, space.high
            self._half_range = (space.high - space.low) / 2

        layers = []
        offset = 0
        for layer in actor.spec.layers:
            (shape,) = layer.shapes
            own = actor.parameters[offset : offset + layer.num_parameters]
            layers.append((own[: math.prod(shape)].reshape(shape), own[math.prod(shape) :]))
            offset += layer.num_parameters
        *self._hidden, (self._weights, self._biases) = layers

    def act(self, observation: Any) -> Any:
        """The action of the same policy, computed by NumPy."""
        x = np.asarray(observation, np.float32)
        for weights, biases in self._hidden:
            x = np.tanh(x @ weights + biases)
        outputs = x @ self._weights + self._biases
        if self._discrete:
            return int(outputs.argmax())
        return np.clip(outputs * self._half_range, self._low, self._high)

    def episode(self, seed: int) -> list[Any]:
        """Run one episode; returns its actions."""
        observation, _ = self.env.reset(seed=seed)
        actions: list[Any] = []
        over = False
        while not over:
            actions.append(self.act(observation))
            observation, _, terminated, truncated, _ = self.env.step(actions[-1])
            over = terminated or truncated
        return actions


class Replay:
    """Steps an environment by a plain loop's recorded actions, without a policy."""

    def __init__(self, plain: PlainLoop, num_episodes: int) -> None:
        self._env: Any = plain.env
        self._controls = [plain.episode(seed) for seed in range(num_episodes)]

    def physics(self) -> None:
        """MuJoCo's steps alone, called from Python."""
        import mujoco

        task = self._env.unwrapped
        for seed, controls in enumerate(self._controls):
            self._env.reset(seed=seed)
            for control in controls:
                task.data.ctrl[:] = control
                mujoco.mj_step(task.model, task.data, nstep=task.frame_skip)

    def steps(self) -> None:
        """Gymnasium's steps alone."""
        for seed, controls in enumerate(self._controls):
            self._env.reset(seed=seed)
            for control in controls:
                self._env.step(control)
