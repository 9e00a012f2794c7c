"""A GAN whose discriminator is a density ratio is maximum-entropy inverse RL: the two gradients
agree.

Finn, Christiano, Abbeel, Levine 2016, "A connection between generative adversarial networks,
inverse reinforcement learning, and energy-based models" (arXiv 1611.03852). The world is small
enough to follow every step. From the repository's root: python -m examples.gan_is_inverse_rl
"""

import numpy as np

from esengine.algorithms.inverse_rl.partition_function import (
    estimate_partition,
    mixture_log_densities,
)
from examples import tabular

generator = np.random.default_rng(0)
num_states, num_actions, horizon = 4, 2, 5
next_states = generator.integers(num_states, size=(num_states, num_actions))
transitions = np.eye(num_states)[next_states]  # deterministic
mdp = tabular.TabularMDP(transitions, np.full(num_states, 1 / num_states), horizon)

# An expert whose reward nobody knows, and a generator: here a policy that is not very good yet.
expert, _ = tabular.soft_policy(mdp, generator.normal(size=(num_states, num_actions)))
policy, _ = tabular.soft_policy(mdp, 0.3 * generator.normal(size=(num_states, num_actions)))
reward = 0.5 * generator.normal(size=(num_states, num_actions))  # the reward that is being learned


def draw(behavior: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Visits of each trajectory, which are the gradient of its return, and its log density under
    the generator.
    """
    states, actions = tabular.sample_trajectories(mdp, behavior, num, generator)
    log_q = np.log(policy[np.arange(horizon), states[:, :-1], actions]).sum(1)
    return tabular.count_visits(mdp, states, actions), log_q


num = 2000
(expert_visits, expert_log_q), (visits, log_q) = draw(expert, num), draw(policy, num)
all_visits = np.concatenate([expert_visits, visits])
all_log_q = np.concatenate([expert_log_q, log_q])
returns = np.einsum("msa,sa->m", all_visits, reward)

# Inverse RL: importance weights under the mixture of the generator and the model itself, whose Z is
# the one that fits.
log_z = 0.0
for _ in range(200):
    mixture = mixture_log_densities(np.stack([returns - log_z, all_log_q]))
    partition = estimate_partition(returns, mixture)
    log_z = partition.log_z
irl_gradient = expert_visits.mean(0) - np.einsum("m,msa->sa", partition.weights, all_visits)


# The GAN: D(tau) = p(tau) / (p(tau) + q(tau)) with p(tau) = exp(R(tau)) / Z, trained to tell expert
# from generator.
def discriminator_loss(values: np.ndarray) -> float:
    logits = np.einsum("msa,sa->m", all_visits, values) - log_z - all_log_q  # log p - log q
    return float(np.logaddexp(0, -logits[:num]).mean() + np.logaddexp(0, logits[num:]).mean())


gan_gradient = np.empty_like(reward)
for index in np.ndindex(*reward.shape):  # central differences: the derivation is not put in
    step = np.zeros_like(reward)
    step[index] = 1e-5
    climb = discriminator_loss(reward + step) - discriminator_loss(reward - step)
    gan_gradient[index] = -climb / 2e-5

print("inverse RL ", np.round(irl_gradient.ravel(), 4))
print("GAN        ", np.round(gan_gradient.ravel(), 4))
print(f"largest difference {np.abs(irl_gradient - gan_gradient).max():.1e}, log Z {log_z:.3f}")
