"""Guided cost learning beside the exact answer: the learned reward's policy visits what the
demonstrations visit.

A deterministic world of 8 states, 10 steps long, where maximum causal entropy inverse RL is exact
(`tabular`), and where a sampled partition function must find the same. The generator is the
reward's own soft policy, averaged over time, since policies do not see the clock: importance
weights make up for what that costs. Run: python inverse_rl.py
"""

import numpy as np

from esengine.algorithms.inverse_rl import tabular
from esengine.algorithms.inverse_rl.generators import Improvement, Sampled
from esengine.algorithms.inverse_rl.guided_cost import GuidedCost
from esengine.algorithms.inverse_rl.settings import InverseRLSettings
from esengine.demonstrations import Demonstrations, Trajectory
from esengine.environments import ActionSpec, EnvironmentSpec, ObservationSpec
from esengine.policies import Actor, PolicySpec
from esengine.rewards import SamplingProblem, Steps

S, A, T = 8, 3, 10
random = np.random.default_rng(0)
mdp = tabular.TabularMDP(np.eye(S)[random.integers(S, size=(S, A))], np.full(S, 1 / S), T)
truth = random.normal(size=(S, A))
eye, actions = np.eye(S, dtype=np.float32), ActionSpec("discrete", (A,), starts=(0,), dtype="int64")


def table(reward):
    """The learned reward of every state and action, (S, A)."""
    return reward.steps(eye.repeat(A, 0), np.tile(np.arange(A), S)[:, None].astype(float)).reshape(
        S, A
    )


class SoftIteration:
    """A generator: the soft policy of the reward as it is, as it acts on average over time, and 600
    episodes of it.
    """

    varying_state = ()

    def __init__(self, problem):
        self.generation, self.problem = 0, problem

    def improve(self, pool, finished):
        self.generation += 1
        visits = (
            tabular.expected_visits(
                mdp, tabular.soft_policy(mdp, table(self.problem.source.learned))[0]
            )
            + 1e-3
        )
        policy = visits / visits.sum(1, keepdims=True)
        row = np.concatenate([np.log(policy).ravel(), np.zeros(A)]).astype(np.float32)
        states, done = tabular.sample_trajectories(mdp, np.repeat(policy[None], T, 0), 600, random)
        nothing = np.zeros((1, 600 * T), bool)
        here, there = (eye[part.ravel()][None] for part in (states[:, :-1], states[:, 1:]))
        steps = Steps(here, there, done.reshape(1, -1, 1).astype(float), nothing, nothing)
        return Improvement(
            Sampled(row[None], Actor(self.problem.policy, row, eye[0] * 0, eye[0] * 0 + 1), steps),
            0,
            0,
            {},
        )

    def metrics(self):
        return {}


def main(generations: int = 60) -> tuple[float, float]:
    """Learn a reward; gives how far visits are from the demonstrations': the learned reward's, and
    the exact one's.
    """
    expert, _ = tabular.soft_policy(mdp, truth)
    states, done = tabular.sample_trajectories(mdp, expert, 1000, random)
    trajectories = [
        Trajectory(eye[s], a[:, None], np.zeros(T), False, True)
        for s, a in zip(states, done, strict=True)
    ]
    demonstrations = Demonstrations(EnvironmentSpec("world"), actions, tuple(trajectories))
    visits = tabular.count_visits(mdp, states, done).mean(0)
    world = tabular.TabularMDP(
        mdp.transitions, np.bincount(states[:, 0], minlength=S) / len(states), T
    )  # starts as they began

    steps = {"reward_steps": 5, "reward_learning_rate": 0.02, "reward_hidden_sizes": (32,)}
    settings = InverseRLSettings(("given",), **steps)
    parts = (
        EnvironmentSpec("world"),
        ObservationSpec(S, True),
        PolicySpec(S, actions, sampled=True),
        0,
    )
    problem = SamplingProblem(
        *parts, source=settings.source(S, actions), horizon=T, sampling=settings.sampling
    )
    method = GuidedCost(settings, problem, SoftIteration(problem), demonstrations, 0)
    for _ in range(generations):
        method.step(None, {})

    def distance(rewards):
        """Total variation between what the rewards' soft policy visits and what the demonstrations
        do.
        """
        return np.abs(
            tabular.expected_visits(world, tabular.soft_policy(world, rewards)[0]) - visits
        ).sum() / (2 * T)

    told, exact = method.metrics(), tabular.fit_rewards(world, visits, tolerance=1e-4)
    bounds = f"{told['log_z_low']:.2f} to {told['log_z_high']:.2f}"
    print(
        f"log Z {told['log_z']:.2f} ({bounds}), effective share of the trajectories "
        f"{told['effective_share']:.0%}"
    )
    print(
        f"distance of visits: sampled {distance(table(method.reward)):.4f}, exact "
        f"{distance(exact):.4f}"
    )
    return distance(table(method.reward)), distance(exact)


if __name__ == "__main__":
    main()
