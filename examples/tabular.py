"""Exact maximum-entropy inverse RL in finite Markov decision processes.

The examples `inverse_rl`, `airl` and `gan_is_inverse_rl` compare sampled answers with it. There are
two models of an expert, which agree where transitions are deterministic:

- Maximum causal entropy (Ziebart, Bagnell, Dey 2010, "Modeling interaction via the principle of
  maximum causal entropy", ICML). The expert chooses softly among actions and cannot choose what
  chance does.
- The trajectory distribution p(tau) ~ p(s_0) prod_t P(s_{t+1} | s_t, a_t) exp(R(tau)) (Ziebart,
  Maas, Bagnell, Dey 2008, "Maximum entropy inverse reinforcement learning", AAAI). Sampled
  partition functions estimate it. Where transitions are stochastic it favours luck, since it tilts
  the transitions, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TabularMDP:
    """A Markov decision process with S states, A actions and a fixed horizon, without rewards.

    Attributes:
        transitions: (S, A, S) probability of the next state.
        initial: (S,) probability of the first state.
        horizon: number of steps of an episode.
        discount: factor on each later reward.

    Raises:
        ValueError: probabilities do not add up to 1, or the shapes do not fit.
    """

    transitions: Array
    initial: Array
    horizon: int
    discount: float = 1.0

    def __post_init__(self) -> None:
        num_states = self.initial.size
        if self.transitions.ndim != 3 or self.transitions.shape[::2] != (num_states, num_states):
            raise ValueError(
                f"transitions must have shape ({num_states}, actions, {num_states}), got "
                f"{self.transitions.shape}"
            )
        for name, rows in (("transitions", self.transitions), ("initial", self.initial)):
            if (rows < 0).any() or not np.allclose(rows.sum(-1), 1):
                raise ValueError(
                    f"{name} must hold probabilities that add up to 1 along the last axis"
                )
        if self.horizon < 1 or not 0 < self.discount <= 1:
            raise ValueError(
                f"horizon must be at least 1 and discount in (0, 1], got {self.horizon} and "
                f"{self.discount}"
            )

    @property
    def num_states(self) -> int:
        return int(self.transitions.shape[0])

    @property
    def num_actions(self) -> int:
        return int(self.transitions.shape[1])


def soft_policy(mdp: TabularMDP, rewards: Array) -> tuple[Array, Array]:
    """The maximum causal entropy policy of a reward, by the soft Bellman recursion.

    Args:
        mdp: the process.
        rewards: (S, A) of a state and an action.

    Returns:
        (horizon, S, A) probabilities of the actions at each step, and (horizon + 1, S) soft values,
        the last row zero.
    """
    policy = np.empty((mdp.horizon, mdp.num_states, mdp.num_actions))
    values = np.zeros((mdp.horizon + 1, mdp.num_states))
    for t in reversed(range(mdp.horizon)):
        q = rewards + mdp.discount * mdp.transitions @ values[t + 1]  # Q_t = r + gamma E V_{t+1}
        values[t] = log_sum_exp(q)  # V_t = log sum_a exp Q_t
        policy[t] = np.exp(q - values[t, :, None])
    return policy, values


def expected_visits(mdp: TabularMDP, policy: Array) -> Array:
    """(S, A) expected number of visits to each state and action in an episode, discounted as
    rewards are.

    Args:
        mdp: the process.
        policy: (horizon, S, A) probabilities of the actions at each step.
    """
    visits, states = np.zeros((mdp.num_states, mdp.num_actions)), mdp.initial
    for t in range(mdp.horizon):
        here = states[:, None] * policy[t]
        visits += mdp.discount**t * here
        states = np.einsum("sa,san->n", here, mdp.transitions)
    return visits


def causal_likelihood(mdp: TabularMDP, rewards: Array, visits: Array) -> tuple[float, Array]:
    """Log likelihood of an expert under the maximum causal entropy model, and its gradient.

    It is the dual of the entropy's maximum under the constraint that visits match: concave in the
    rewards. In a deterministic process without discount it is the mean log density of the expert's
    trajectories.

    Args:
        mdp: the process.
        rewards: (S, A) of a state and an action.
        visits: (S, A) mean visits of the expert in an episode, discounted as rewards are.

    Returns:
        the value, and its (S, A) gradient with respect to the rewards.
    """
    policy, values = soft_policy(mdp, rewards)
    value = float(np.sum(visits * rewards) - mdp.initial @ values[0])
    return value, visits - expected_visits(mdp, policy)


def trajectory_model(mdp: TabularMDP, rewards: Array) -> tuple[float, Array]:
    """Log partition function of the trajectory distribution, and its expected visits.

    Args:
        mdp: the process; its discount counts for rewards.
        rewards: (S, A) of a state and an action.

    Returns:
        log Z = log E exp(R(tau)) over trajectories whose actions are free (summed) and whose
        transitions are the process's; and (S, A) expected discounted visits, which are the gradient
        of log Z with respect to the rewards.
    """
    horizon, gamma = mdp.horizon, mdp.discount

    # Backward: the log of the sum over continuations from a state
    log_messages = np.zeros((horizon + 1, mdp.num_states))
    log_actions = np.empty((horizon, mdp.num_states, mdp.num_actions))
    for t in reversed(range(horizon)):
        top = log_messages[t + 1].max()
        log_next = top + np.log(mdp.transitions @ np.exp(log_messages[t + 1] - top))
        log_actions[t] = gamma**t * rewards + log_next
        log_messages[t] = log_sum_exp(log_actions[t])
    log_first = np.log(np.maximum(mdp.initial, np.finfo(float).tiny)) + log_messages[0]
    log_z = float(log_sum_exp(log_first))

    # Forward: the visits
    visits = np.zeros_like(rewards, float)
    states = np.where(mdp.initial > 0, np.exp(log_first - log_z), 0)
    for t in range(horizon):
        here = states[:, None] * np.exp(log_actions[t] - log_messages[t, :, None])
        visits += gamma**t * here
        weights = np.exp(log_messages[t + 1] - log_messages[t + 1].max())
        tilted = mdp.transitions * weights  # luck is favoured
        states = np.einsum("sa,san->n", here, tilted / tilted.sum(-1, keepdims=True))
    return log_z, visits


def fit_rewards(
    mdp: TabularMDP,
    visits: Array,
    penalty: float = 1e-6,
    tolerance: float = 1e-8,
    max_steps: int = 20_000,
) -> Array:
    """(S, A) rewards under which the maximum causal entropy policy visits what the expert visits.

    Ascends the concave likelihood less ``penalty / 2`` times the squared rewards, which picks one
    of the many rewards that explain the same visits; gradient steps of Barzilai and Borwein's
    length, halved while they do not climb.

    Args:
        mdp: the process.
        visits: (S, A) mean visits of the expert in an episode, discounted as rewards are.
        penalty: weight of the squared rewards.
        tolerance: largest entry of the gradient at which to stop.
        max_steps: steps after which to stop in any case.
    """

    def ascend(rewards: Array) -> tuple[float, Array]:
        value, gradient = causal_likelihood(mdp, rewards, visits)
        return value - 0.5 * penalty * float(np.sum(rewards**2)), gradient - penalty * rewards

    rewards = np.zeros_like(visits)
    step = 1.0 / max(1.0, mdp.horizon)
    value, gradient = ascend(rewards)
    for _ in range(max_steps):
        if np.abs(gradient).max() < tolerance:
            break

        while True:
            trial = rewards + step * gradient
            trial_value, trial_gradient = ascend(trial)
            if trial_value >= value or step < 1e-14:
                break
            step /= 2

        moved = trial - rewards
        turned = gradient - trial_gradient
        rewards, value, gradient = trial, trial_value, trial_gradient
        curvature = float(np.sum(moved * turned))
        step = float(np.sum(moved**2)) / curvature if curvature > 0 else 2 * step
    return rewards


def sample_trajectories(
    mdp: TabularMDP, policy: Array, num_trajectories: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sample trajectories of a policy.

    Args:
        mdp: the process.
        policy: (horizon, S, A) probabilities of the actions at each step.
        num_trajectories: number of episodes.
        generator: of random numbers.

    Returns:
        (num_trajectories, horizon + 1) states and (num_trajectories, horizon) actions.
    """
    states = np.empty((num_trajectories, mdp.horizon + 1), np.int64)
    actions = np.empty((num_trajectories, mdp.horizon), np.int64)
    initial = np.broadcast_to(mdp.initial, (num_trajectories, mdp.num_states))

    states[:, 0] = _draw(initial, generator)
    for t in range(mdp.horizon):
        actions[:, t] = _draw(policy[t, states[:, t]], generator)
        states[:, t + 1] = _draw(mdp.transitions[states[:, t], actions[:, t]], generator)
    return states, actions


def count_visits(mdp: TabularMDP, states: NDArray[np.int64], actions: NDArray[np.int64]) -> Array:
    """(num_trajectories, S, A) visits of each trajectory of `sample_trajectories`, discounted as
    rewards are.
    """
    num_trajectories, horizon = actions.shape
    visits = np.zeros((num_trajectories, mdp.num_states, mdp.num_actions))
    discounts = np.broadcast_to(mdp.discount ** np.arange(horizon), actions.shape)
    np.add.at(visits, (np.arange(num_trajectories)[:, None], states[:, :-1], actions), discounts)
    return visits


def log_sum_exp(values: Array) -> Array:
    """The logarithm of the sum of exponentials along the last axis."""
    top = values.max(-1, keepdims=True)
    total: Array = np.log(np.exp(values - top).sum(-1)) + top[..., 0]
    return total


def _draw(probabilities: Array, generator: np.random.Generator) -> NDArray[np.int64]:
    """Draw an index for each row of probabilities."""
    cumulative = np.cumsum(probabilities, -1)
    draws = generator.random(len(probabilities)) * cumulative[:, -1]
    index: NDArray[np.int64] = np.argmax(cumulative > draws[:, None], -1)
    return index
