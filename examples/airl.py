"""AIRL on a world of 16 states: a reward of the state alone is the expert's, and holds where the
world's dynamics are others.

The check of Fu, Luo and Levine 2018 (arXiv 1710.11248), with an exact generator in place of a
search. From the repository's root: python -m examples.airl
"""

import numpy as np

from esengine.algorithms.inverse_rl.airl import AIRL
from esengine.algorithms.inverse_rl.generators import Improvement, Sampled
from esengine.algorithms.inverse_rl.settings import AIRLSettings
from esengine.demonstrations import Demonstrations, Trajectory
from esengine.environments import ActionSpec, EnvironmentSpec, ObservationSpec
from esengine.policies import Actor, PolicySpec
from esengine.problems import EnvironmentProblem
from esengine.rewards import RewardedEpisodes, Steps
from examples import tabular

S, A, GAMMA, LENGTH = 16, 4, 0.9, 2000
random = np.random.default_rng(0)
moves = np.stack([random.permutation(S) for _ in range(A)], 1)  # where each action leads
truth = np.eye(S)[0][:, None].repeat(A, 1)  # 1 in state 0
eye, actions = np.eye(S, dtype=np.float32), ActionSpec("discrete", (A,), starts=(0,), dtype="int64")


def plan(rewards, moves):
    """The softly best policy for rewards, (S, A), and its true value over all first states."""
    world = tabular.TabularMDP(eye[moves], np.full(S, 1 / S), 300, GAMMA)
    policies, _ = tabular.soft_policy(world, rewards)
    return policies[0], (tabular.expected_visits(world, policies) * truth).sum()


def draw(policy, num):
    """States (num, LENGTH + 1) and actions (num, LENGTH) of long episodes that begin anywhere."""
    states, done = [random.integers(S, size=num)], []
    for _ in range(LENGTH):
        done.append((policy[states[-1]].cumsum(1) > random.random((num, 1))).argmax(1))
        states.append(moves[states[-1], done[-1]])
    return np.stack(states, 1), np.stack(done, 1)


class SoftIteration:
    """A generator: the softly best policy for the present reward, and two long episodes of it."""

    varying_state = ()

    acting = staticmethod(lambda policy: policy)

    def __init__(self, problem):
        self.generation, self.problem = 0, problem

    def improve(self, pool, finished):
        self.generation += 1
        policy, _ = plan(table(self.problem.part(RewardedEpisodes).source), moves)
        row = np.concatenate([np.log(policy).ravel(), np.zeros(A)]).astype(np.float32)
        states, done = draw(policy, 2)
        here, there = (eye[part.ravel()] for part in (states[:, :-1], states[:, 1:]))
        no, done = np.zeros(done.size, bool), done.reshape(-1, 1) * 1.0
        steps = Steps(here, there, done, no, no, no + 1.0, no)
        actor = Actor(self.problem.policy, row, eye[0] * 0, eye[0] * 0 + 1)
        return Improvement(Sampled(row[None], actor, steps), 0, 0, {})


def table(source, shaped=True):
    """f(s, a) = g + gamma h(s') - h(s) of every state and action, or g alone."""
    every_action = np.tile(np.arange(A), S)[:, None].astype(float)
    g = source.learned.steps(eye.repeat(A, 0), every_action).reshape(S, A)
    if not shaped or source.potential is None:
        return g
    h = source.potential.steps(eye, np.zeros((S, 0)))
    return g + GAMMA * h[moves] - h[:, None]


def learned_reward(state_only, demonstrations, generations):
    """The reward that AIRL learns, (S, A), averaged over the second half of the generations."""
    settings = AIRLSettings(
        ("given",),
        state_only=state_only,
        shaping=state_only,
        discount=GAMMA,
        reward_hidden_sizes=() if state_only else (64,),
        potential_hidden_sizes=(),
        reward_batch_size=1024,
        reward_steps=10,
        reward_learning_rate=0.02,
        gradient_penalty=0.0,
        replay_generations=3,
    )
    policy = PolicySpec(S, actions, sampled=True)
    parts = (EnvironmentSpec("world"), ObservationSpec(S, True), policy, 0)
    rewarded = RewardedEpisodes(settings.source(S, actions), LENGTH)
    problem = EnvironmentProblem(*parts, parts=(rewarded,))
    method = AIRL(settings, problem, SoftIteration(problem), demonstrations, 0)

    found = []
    for _ in range(generations):
        method.step(None, {})
        found.append(table(rewarded.source, shaped=False))
    return np.mean(found[generations // 2 :], axis=0)


def main(generations: int = 150) -> list[tuple[float, float]]:
    """Learn both rewards; returns the largest error of each, and its share of the best policy's
    value in another world.
    """
    states, done = draw(plan(truth, moves)[0], 200)
    trajectories = [
        Trajectory(eye[s], a[:, None], np.zeros(LENGTH), False, True)
        for s, a in zip(states, done, strict=True)
    ]
    demonstrations = Demonstrations(EnvironmentSpec("world"), actions, tuple(trajectories))

    other = np.stack([random.permutation(S) for _ in range(A)], 1)  # other moves, the same states
    best = plan(1e4 * truth, other)[1]  # large rewards, so that nothing is chance
    results = []
    for what in ("state", "state and action"):  # the latter becomes the advantage
        learned = learned_reward(what == "state", demonstrations, generations)
        error = np.abs((learned - learned.mean()) - (truth - truth.mean())).max()
        share = plan(1e4 * learned, other)[1] / best
        results.append((error, share))
        print(
            f"reward of the {what}: largest error {error:.3f}, {share:.0%} of the best in the "
            f"other world"
        )
    return results


if __name__ == "__main__":
    main()
