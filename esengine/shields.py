"""Acting under a shield: rules of the user's that step in while a policy acts."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.environments.rules import Rules
from esengine.environments.spaces import ObservationSpec
from esengine.policies.network import Actor
from esengine.policies.normalizer import accumulate
from esengine.rollouts import NO_GATE, Episode, Gate


class ShieldedSimulator:
    """Any environment, stepped through gymnasium, where the action of the first rule that fires replaces the policy's.

    Args:
        env: the environment.
        observations: how its observations become flat vectors.
        rules: given the observation as the environment gives it.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], observations: ObservationSpec, rules: Rules) -> None:
        self.env, self._observations, self._rules = env, observations, rules

    def run(
        self,
        actor: Actor,
        seed: int,
        moments: NDArray[np.float64] | None = None,
        max_steps: int | None = None,
        gate: Gate = NO_GATE,
    ) -> Episode:
        """One episode, with the arguments of `rollouts.run_episode`."""
        space = self.env.observation_space
        observation, _ = self.env.reset(seed=seed)
        episode_return, num_steps, at_gate, ended = 0.0, 0, math.nan, False
        while not ended:
            flat = self._observations.flat(space, observation)
            if moments is not None:
                accumulate(moments, flat)
            action, correction = actor.act(flat, seed, num_steps), self._rules.correction(observation)
            observation, reward, terminated, truncated, _ = self.env.step(action if correction is None else correction)
            episode_return += float(reward)
            num_steps += 1
            ended = terminated or truncated or num_steps == max_steps
            if num_steps == gate.step or (ended and num_steps < gate.step):
                at_gate = episode_return
                ended = ended or episode_return < gate.least
        return Episode(episode_return, num_steps, at_gate, self._observations.flat(space, observation))

    def close(self) -> None:
        self.env.close()
