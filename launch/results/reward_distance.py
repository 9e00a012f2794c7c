"""``esengine rewards A B``: how far learned rewards are apart, over the steps of demonstrations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from esengine.algorithms.inverse_rl.epic_distance import Reward, canonical, pearson_distance
from esengine.checks import at_least, within
from esengine.demonstrations.files import load_demonstrations
from esengine.errors import UserError
from esengine.rewards.file import load_reward
from esengine.rewards.network import LearnedReward
from esengine.seeding import derive_key, generator

_ANCHORS = 64  # observations, and as many actions, that the canonical form averages over


@dataclass(frozen=True)
class RewardsSettings:
    """Compare learned rewards: their canonical (EPIC) distance, which knows of no potential,
    constant or scale.
    """

    demonstrations: str
    """Demonstrations whose steps the rewards are compared on."""
    steps: int = 1000
    """Steps of them, drawn by --seed."""
    discount: float = 0.99
    """Gamma of the potentials that the distance does not see."""
    seed: int = 0
    """Of what is drawn."""
    trust_modules: bool = False
    """Import modules that a file names."""

    def check(self) -> None:
        """Raises UserError for settings that compare nothing."""
        at_least(self, 2, "steps")
        within(self, 0, 1, "discount")


def distances(paths: tuple[Path, ...], settings: RewardsSettings) -> list[tuple[str, str, float]]:
    """Every pair of rewards and how far they are apart, 0 to 1.

    Raises:
        UserError: fewer than two rewards, or one that does not fit the demonstrations.
    """
    settings.check()
    if len(paths) < 2:
        raise UserError(
            f"rewards needs at least two reward files or run directories to compare, got "
            f"{len(paths)}"
        )
    given = load_demonstrations((settings.demonstrations,), settings.trust_modules, None)
    transitions = given.transitions()
    choices = (
        transitions.actions
        if given.action.kind == "box"
        else given.action.options(transitions.actions).astype(float)
    )
    random = generator(derive_key(settings.seed, "reward distance"))
    chosen = random.choice(len(choices), min(settings.steps, len(choices)), replace=False)
    anchors = [
        part[random.integers(len(choices), size=_ANCHORS)]
        for part in (transitions.observations, choices)
    ]
    steps = (
        transitions.observations[chosen],
        choices[chosen],
        transitions.next_observations[chosen],
    )
    forms = []
    for path in paths:
        reward = load_reward(path)
        if (reward.spec.observation_dim, reward.spec.action) != (
            given.observation_dim,
            given.action,
        ):
            raise UserError(
                f"{path} must be a reward of the demonstrations' {given.observation_dim} "
                f"observations and "
                f"{given.action.kind} action, got {reward.spec.observation_dim} and "
                f"{reward.spec.action.kind}"
            )
        forms.append(
            (
                str(path),
                canonical(_function(reward), *steps, (anchors[0], anchors[1]), settings.discount),
            )
        )
    pairs = [(first, second) for index, first in enumerate(forms) for second in forms[index + 1 :]]
    return [(first[0], second[0], pearson_distance(first[1], second[1])) for first, second in pairs]


def _function(reward: LearnedReward) -> Reward:
    return lambda observations, choices: reward.steps(observations.astype(np.float32), choices)
