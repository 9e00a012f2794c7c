"""Networks that tell the expert's steps: penalties, what is published, absorbing states, and
distances between rewards.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from esengine.algorithms.inverse_rl.discriminator import Discriminator, Draws, Examples
from esengine.algorithms.inverse_rl.epic_distance import Reward, canonical, pearson_distance
from esengine.algorithms.inverse_rl.settings import GAILSettings, InverseRLSettings
from esengine.environments import ActionSpec
from esengine.errors import UserError
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.train_settings import TrainSettings
from esengine.launch.training.run import prepare
from esengine.rewards import LearnedReward, Steps
from esengine.rewards.network import SIGHTS, RewardSpec, Sees
from esengine.rewards.sampling import Sampling
from tests.support.learners import demonstrations

BOX = ActionSpec("box", (1, 1), (-1.0, -1.0), (1.0, 1.0), (2,))


def steps_of(num: int, seed: int = 0) -> Steps:
    random = np.random.default_rng(seed)
    seen, next_seen = (random.standard_normal((num, 3)).astype(np.float32) for _ in range(2))
    absorbing = np.arange(num) >= num - 2
    done = random.uniform(-1, 1, (num, 2))
    return Steps(seen, next_seen, done, absorbing, absorbing, np.ones(num), np.arange(num) == 0)


def discriminator(
    hidden: tuple[int, ...] = (8,), sees: Sees = "actions", **settings: object
) -> Discriminator:
    spec, steps = RewardSpec(3, BOX, hidden, sees=sees), steps_of(50)
    beside = spec.beside(steps.choices, steps.next_observations)
    reward = LearnedReward.initial(spec, 0, steps.observations, beside)
    parameters = np.random.default_rng(1).standard_normal(spec.num_parameters).astype(np.float32)
    chosen = GAILSettings(("given",), **settings)  # type: ignore[arg-type]
    return Discriminator(chosen, 0, replace(reward, parameters=parameters))


@pytest.mark.parametrize("sees", SIGHTS)
@pytest.mark.parametrize("spectral_norm", [False, True])
def test_what_is_published_scores_as_the_network_does_and_the_absorbing_state_too(
    spectral_norm: bool, sees: Sees
) -> None:
    learner, steps = (
        discriminator(sees=sees, spectral_norm=spectral_norm),
        steps_of(20, 2),
    )
    reward = learner.network.reward()
    beside = reward.spec.beside(steps.choices, steps.next_observations)
    logits = learner.logits(learner.examples(steps)).detach().numpy()
    np.testing.assert_allclose(
        np.clip(logits[:-2], -10, 10),
        reward.steps(steps.observations, beside)[:-2],
        atol=1e-4,
    )
    np.testing.assert_allclose(logits[-2:], reward.absorbing, atol=1e-4)
    others = reward.steps(steps.observations, -beside)[:-2]
    same = (others == reward.steps(steps.observations, beside)[:-2]).all()
    assert same == (sees == "states")
    if spectral_norm:
        norms = [
            float(torch.linalg.matrix_norm(weights, 2)) for weights, _ in learner.network.layers()
        ]
        np.testing.assert_allclose(norms, 1, atol=1e-5)


def test_the_penalty_of_a_linear_network_is_the_distance_of_its_weights_length_from_one() -> None:
    learner = discriminator(())
    batch = Examples.joined([learner.examples(steps_of(8, 3)), learner.examples(steps_of(8, 4))])
    (weights, _), *_ = learner.network.layers()
    expected = (float(torch.linalg.vector_norm(weights)) - 1) ** 2
    assert float(learner._penalty(batch, 8, np.random.default_rng(0))) == pytest.approx(
        expected, rel=1e-5
    )


def test_two_samples_of_one_policy_cannot_be_told_apart_and_shifted_ones_can() -> None:
    for shift, least, most in ((0.0, 0.4, 0.6), (2.5, 0.9, 1.0)):
        learner = discriminator(
            reward_steps=150, reward_learning_rate=0.02, dropout=0.1, reward_weight_decay=1e-4
        )
        first, second = steps_of(3000, 5), steps_of(3000, 6)
        second = second._replace(
            observations=second.observations + np.float32(shift), absorbing=first.absorbing
        )
        drawn, others = (Draws(learner.examples(part), 256) for part in (first, second))
        learner.fit(drawn, others, 1)
        fresh = [
            learner.logits(learner.examples(part))
            for part in (steps_of(3000, 7), steps_of(3000, 8))
        ]
        moved = learner.examples(
            steps_of(3000, 8)._replace(
                observations=steps_of(3000, 8).observations + np.float32(shift)
            )
        )
        right = (
            float((fresh[0] > 0).float().mean() + (learner.logits(moved) < 0).float().mean()) / 2
        )
        assert least <= right <= most


def test_members_that_send_steps_are_spread_over_the_generation() -> None:
    sampling = Sampling(3, 5)
    assert (
        sampling.chosen(10).tolist()
        == [0, 3, 6]
        == [member for member in range(10) if sampling.takes(member, 10)]
    )
    assert (
        Sampling(0, 5).chosen(4).tolist()
        == [0, 1, 2, 3]
        == [m for m in range(4) if Sampling(50, 5).takes(m, 4)]
    )


def test_the_canonical_distance_knows_no_scale_and_no_constant() -> None:
    random = np.random.default_rng(0)
    states, following = random.normal(size=(2, 200, 3))
    done, anchors = (
        random.normal(size=(200, 1)),
        (random.normal(size=(40, 3)), random.normal(size=(40, 1))),
    )

    def first(s: NDArray[np.float64], a: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(s[:, 0] + np.sin(a[:, 0]))

    rewards: list[Reward] = [
        first,
        lambda s, a: 3 * first(s, a) + 5,
        lambda s, a: -first(s, a),
        lambda s, a: np.asarray(s[:, 1] * a[:, 0]),
    ]
    forms = [canonical(reward, states, done, following, anchors, 0.9) for reward in rewards]
    assert [pearson_distance(forms[0], form) for form in forms[:3]] == pytest.approx(
        [0, 0, 1], abs=1e-6
    )
    assert 0.55 < pearson_distance(forms[0], forms[3]) < 0.85


def test_inverse_rl_refuses_a_policy_that_has_no_density(tmp_path: Path) -> None:
    search: Any = InverseRLSettings((demonstrations(tmp_path / "d.npz"),))
    with pytest.raises(
        UserError,
        match="inverse-rl needs a stochastic policy, since a deterministic one has no density",
    ):
        prepare(
            RunConfig("inverse-rl", TrainSettings(env_id="CartPole-v1"), search),
            tmp_path / "run",
            False,
        )
    assert not (tmp_path / "run").exists()
