"""``esengine rewards A B``: the distance of learned rewards over the steps of demonstrations."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from esengine.algorithms.inverse_rl.epic_distance import Reward, canonical, pearson_distance
from esengine.checks import at_least, within
from esengine.demonstrations import load_demonstrations
from esengine.environments import ObservationSpec, check_fit
from esengine.errors import UserError, put
from esengine.launch.settings.flags import parse_with_argument
from esengine.ranks import StopRequest
from esengine.rewards import LearnedReward, load_reward
from esengine.seeding import derive_key, generator

_ANCHORS = 64  # observations, and as many actions, that the canonical form averages over


@dataclass(frozen=True)
class RewardsSettings:
    """Compare learned rewards by EPIC distance, which ignores potentials, constants and scale."""

    demonstrations: str
    """Demonstrations on whose steps the rewards are compared."""
    steps: int = 1000
    """Number of these steps, drawn by --seed."""
    discount: float = 0.99
    """Gamma of the potentials that the distance ignores."""
    seed: int = 0
    """Seed of the steps that are drawn."""
    trust_modules: bool = False
    """Import the modules to which files refer, which runs their code."""

    def check(self) -> None:
        """Raises UserError for settings that compare nothing."""
        at_least(self, 2, "steps")
        within(self, 0, 1, "discount")


def rewards_command(argv: list[str], stop: StopRequest) -> int:
    """Print the distance of every pair; returns the exit status. Raises UserError for rewards that
    cannot be compared.
    """
    about = "Reward files, or run directories that have one."
    paths, settings = parse_with_argument(
        RewardsSettings, argv, "esengine rewards", "rewards", about, of=tuple[Path, ...]
    )
    for first, second, distance in distances(paths, settings):
        put(f"{distance:.4f}  {first}  {second}")
    return 0


def distances(paths: tuple[Path, ...], settings: RewardsSettings) -> list[tuple[str, str, float]]:
    """Every pair of rewards and its distance, 0 to 1.

    Raises:
        UserError: fewer than two rewards, or one that does not fit the demonstrations.
    """
    settings.check()
    if len(paths) < 2:
        raise UserError(
            f"rewards needs at least two reward files or run directories to compare, got "
            f"{len(paths)}"
        )

    # The steps, and what the canonical form averages over
    given = load_demonstrations((settings.demonstrations,), settings.trust_modules, None)
    transitions = given.transitions()
    observations = transitions.observations
    choices = transitions.actions
    if given.action.kind != "box":
        choices = given.action.options(choices).astype(float)
    random = generator(derive_key(settings.seed, "reward distance"))
    chosen = random.choice(len(choices), min(settings.steps, len(choices)), replace=False)
    steps = (observations[chosen], choices[chosen], transitions.next_observations[chosen])
    anchors = (
        observations[random.integers(len(choices), size=_ANCHORS)],
        choices[random.integers(len(choices), size=_ANCHORS)],
    )

    forms = []
    for path in paths:
        reward = load_reward(path)
        spec = reward.spec
        if spec.sees == "transitions":
            raise UserError(
                f"rewards must be of states and actions to be compared, got {path}, which sees "
                f"transitions; learn one without --state-only"
            )
        check_fit(
            str(path),
            given.environment.env_id,
            (ObservationSpec(given.observation_dim, True), given.action),
            (spec.observation_dim, spec.action),
            way_out="name other demonstrations",
        )
        forms.append((str(path), canonical(_function(reward), *steps, anchors, settings.discount)))

    return [
        (first, second, pearson_distance(one, other))
        for (first, one), (second, other) in combinations(forms, 2)
    ]


def _function(reward: LearnedReward) -> Reward:
    return lambda observations, choices: reward.steps(observations.astype(np.float32), choices)
