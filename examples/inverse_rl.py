"""Guided cost learning compared with the exact answer: the learned reward's policy visits what the
demonstrations visit.

In a deterministic world of 8 states and 10 steps maximum causal entropy inverse RL is exact
(`tabular`), and a sampled partition function must find the same. The generator is the reward's own
soft policy, averaged over time, since policies do not see the clock. Importance weights make up for
what that costs. From the repository's root: python -m examples.inverse_rl
"""

import numpy as np

from esengine.algorithms.inverse_rl.generators import Improvement, Sampled
from esengine.algorithms.inverse_rl.guided_cost import GuidedCost
from esengine.algorithms.inverse_rl.settings import InverseRLSettings
from esengine.demonstrations import Demonstrations, Trajectory
from esengine.environments import ActionSpec, EnvironmentSpec, ObservationSpec
from esengine.policies import Actor, PolicySpec
from esengine.problems import EnvironmentProblem
from esengine.rewards import RewardedEpisodes, Steps
from examples import tabular

S, A, T = 8, 3, 10
random = np.random.default_rng(0)
mdp = tabular.TabularMDP(np.eye(S)[random.integers(S, size=(S, A))], np.full(S, 1 / S), T)
truth = random.normal(size=(S, A))
eye, actions = np.eye(S, dtype=np.float32), ActionSpec("discrete", (A,), starts=(0,), dtype="int64")


def table(reward):
    """The learned reward of every state and action, (S, A)."""
    every_action = np.tile(np.arange(A), S)[:, None].astype(float)
    return reward.steps(eye.repeat(A, 0), every_action).reshape(S, A)


def visits_of(world, rewards):
    """The visits of the rewards' soft policy, (S, A)."""
    return tabular.expected_visits(world, tabular.soft_policy(world, rewards)[0])


class SoftIteration:
    """A generator: the present reward's soft policy, averaged over time, and 600 episodes of it."""

    varying_state = ()

    acting = staticmethod(lambda policy: policy)

    def __init__(self, problem):
        self.generation, self.problem = 0, problem

    def improve(self, pool, finished):
        self.generation += 1
        source = self.problem.part(RewardedEpisodes).source
        visits = visits_of(mdp, table(source.learned)) + 1e-3
        policy = visits / visits.sum(1, keepdims=True)
        row = np.concatenate([np.log(policy).ravel(), np.zeros(A)]).astype(np.float32)
        states, done = tabular.sample_trajectories(mdp, np.repeat(policy[None], T, 0), 600, random)
        here, there = (eye[part.ravel()] for part in (states[:, :-1], states[:, 1:]))
        nothing = np.zeros(600 * T, bool)
        begins = np.arange(600 * T) % T == 0
        steps = Steps(
            here, there, done.reshape(-1, 1) * 1.0, nothing, nothing, nothing + 1.0, begins
        )
        actor = Actor(self.problem.policy, row, eye[0] * 0, eye[0] * 0 + 1)
        return Improvement(Sampled(row[None], actor, steps), 0, 0, {})

    def metrics(self):
        return {}


def main(generations: int = 60) -> tuple[float, float]:
    """Learn a reward; returns how far the visits of the learned reward, and of the exact one, are
    from the demonstrations'.
    """
    expert, _ = tabular.soft_policy(mdp, truth)
    states, done = tabular.sample_trajectories(mdp, expert, 1000, random)
    trajectories = [
        Trajectory(eye[s], a[:, None], np.zeros(T), False, True)
        for s, a in zip(states, done, strict=True)
    ]
    demonstrations = Demonstrations(EnvironmentSpec("world"), actions, tuple(trajectories))
    visits = tabular.count_visits(mdp, states, done).mean(0)
    first = np.bincount(states[:, 0], minlength=S) / len(states)  # as the demonstrations begin
    world = tabular.TabularMDP(mdp.transitions, first, T)

    settings = InverseRLSettings(
        ("given",),
        reward_learning_rate=0.03,
        reward_hidden_sizes=(32,),
        reward_batch_size=0,
        reward_penalty=0.0,
    )
    policy = PolicySpec(S, actions, sampled=True)
    rewarded = RewardedEpisodes(settings.source(S, actions), T, settings.sampling)
    parts = (EnvironmentSpec("world"), ObservationSpec(S, True), policy, 0)
    problem = EnvironmentProblem(*parts, parts=(rewarded,))
    method = GuidedCost(settings, problem, SoftIteration(problem), demonstrations, 0)
    for _ in range(generations):
        method.step(None, {})

    def distance(rewards):
        """Total variation between the visits of the rewards' soft policy and the demonstrations."""
        return np.abs(visits_of(world, rewards) - visits).sum() / (2 * T)

    metrics = method.metrics()
    sampled = distance(table(method.reward))
    exact = distance(tabular.fit_rewards(world, visits, tolerance=1e-4))
    print(
        f"log Z {metrics['log_z']:.2f} ({metrics['log_z_low']:.2f} to {metrics['log_z_high']:.2f})"
    )
    print(f"effective share of the trajectories {metrics['effective_share']:.0%}")
    print(f"distance of visits: sampled {sampled:.4f}, exact {exact:.4f}")
    return sampled, exact


if __name__ == "__main__":
    main()
