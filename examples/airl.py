"""AIRL on a world of 16 states: a reward of the state alone is the expert's, and holds where the world's dynamics are others.

The check of Fu, Luo and Levine 2018 (arXiv 1710.11248). The generator here is exact, soft value iteration instead of a search:
whatever gives policies and the steps that they met can be one. Run: python airl.py
"""

from dataclasses import replace

import numpy as np

from esengine.algorithms.inverse_rl.airl import AIRL
from esengine.algorithms.inverse_rl.generators import Improvement, Sampled
from esengine.algorithms.inverse_rl.settings import AIRLSettings
from esengine.environments import EnvironmentSpec
from esengine.policies import Actor, PolicySpec
from esengine.sampling import SamplingProblem, Steps
from esengine.spaces import ActionSpec, ObservationSpec
from esengine.trajectories import Demonstrations, Trajectory

S, A, GAMMA, LENGTH = 16, 4, 0.9, 2000
random = np.random.default_rng(0)
moves = np.stack([random.permutation(S) for _ in range(A)], 1)  # where each action leads; every state can be reached
truth = np.eye(S)[0][:, None].repeat(A, 1)  # 1 in state 0
eye, actions = np.eye(S, dtype=np.float32), ActionSpec("discrete", (A,), starts=(0,), dtype="int64")


def soft_policy(rewards, moves):
    values = np.zeros(S)
    for _ in range(300):
        q = rewards + GAMMA * values[moves]
        values = np.log(np.exp(q - q.max()).sum(1)) + q.max()
    return np.exp(q - values[:, None]) / np.exp(q - values[:, None]).sum(1, keepdims=True)


def draw(policy, num):
    """States (num, LENGTH + 1) and actions (num, LENGTH) of long episodes that begin anywhere."""
    states, done = [random.integers(S, size=num)], []
    for _ in range(LENGTH):
        done.append((policy[states[-1]].cumsum(1) > random.random((num, 1))).argmax(1))
        states.append(moves[states[-1], done[-1]])
    return np.stack(states, 1), np.stack(done, 1)


def best_value(rewards, moves):
    """Mean true value of the policy that is best for some rewards."""
    values = np.zeros(S)
    for _ in range(300):
        values = (rewards + GAMMA * values[moves]).max(1)
    greedy = (rewards + GAMMA * values[moves]).argmax(1)
    followed = np.eye(S)[moves[np.arange(S), greedy]]
    return np.linalg.solve(np.eye(S) - GAMMA * followed, truth[:, 0]).mean()


class SoftIteration:
    """A generator: the policy that is softly best for the reward as it is, and two long episodes of it."""

    varying_state = ()

    def __init__(self, problem):
        self.generation, self.problem = 0, problem

    def improve(self, pool, finished):
        self.generation += 1
        policy = soft_policy(table(self.problem.source), moves)
        row = np.concatenate([np.log(policy).ravel(), np.zeros(A)]).astype(np.float32)
        states, done = draw(policy, 2)
        nothing = np.zeros(done.shape, bool)
        steps = Steps(eye[states[:, :-1]], eye[states[:, 1:]], done[..., None].astype(float), nothing, nothing)
        return Improvement(Sampled(row[None], Actor(self.problem.policy, row, eye[0] * 0, eye[0] * 0 + 1), steps), 0, 0, {})


def table(source):
    """f(s, a) = g + gamma h(s') - h(s) of every state and action."""
    g = source.learned.steps(eye.repeat(A, 0), np.tile(np.arange(A), S)[:, None].astype(float)).reshape(S, A)
    h = source.potential.steps(eye, np.zeros((S, 0))) if source.potential else np.zeros(S)
    return g + GAMMA * h[moves] - h[:, None]


def main(generations: int = 150) -> list[tuple[float, float]]:
    """Learn both rewards; gives the largest error of each, and its share of the best in another world."""
    states, done = draw(soft_policy(truth, moves), 200)
    trajectories = [Trajectory(eye[s], a[:, None], np.zeros(LENGTH), False, True) for s, a in zip(states, done, strict=True)]
    demonstrations = Demonstrations(EnvironmentSpec("world"), actions, tuple(trajectories))
    other = np.stack([random.permutation(S) for _ in range(A)], 1)  # the same states under other moves
    results = []
    for state_only in (True, False):  # without a potential, a reward of state and action becomes the advantage here
        sizes = {"reward_hidden_sizes": () if state_only else (64,), "potential_hidden_sizes": (), "reward_batch_size": 1024}
        steps = {"reward_steps": 10, "reward_learning_rate": 0.02, "gradient_penalty": 0.0, "replay_generations": 3}
        settings = AIRLSettings(("given",), state_only=state_only, shaping=state_only, discount=GAMMA, **sizes, **steps)
        parts = (EnvironmentSpec("world"), ObservationSpec(S, True), PolicySpec(S, actions, sampled=True), 0)
        problem = SamplingProblem(*parts, source=settings.source(S, actions), horizon=LENGTH)
        method, found = AIRL(settings, problem, SoftIteration(problem), demonstrations, 0), []
        for _ in range(generations):
            method.step(None, {})
            found.append(table(replace(problem.source, potential=None)))
        learned = np.mean(found[generations // 2 :], axis=0)
        error = np.abs((learned - learned.mean()) - (truth - truth.mean())).max()
        results.append((error, best_value(learned, other) / best_value(truth, other)))
        what = "state" if state_only else "state and action"
        print(f"reward of the {what}: largest error {error:.3f}, {results[-1][1]:.0%} of the best in the other world")
    return results


if __name__ == "__main__":
    main()
