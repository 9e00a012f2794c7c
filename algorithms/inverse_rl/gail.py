"""Generative adversarial imitation learning (Ho, Ermon 2016, arXiv 1606.03476) with any generator
of policies.

A generation improves the policies under the current reward, and then takes a few gradient steps of
the reward. The reward's network learns to distinguish the expert's steps from recent steps of the
policies, and its logit is the next generation's reward.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.inverse_rl.discriminator import Discriminator, Draws, Examples
from esengine.algorithms.inverse_rl.expert_steps import expert_steps
from esengine.algorithms.inverse_rl.generators import Generator, Sampled
from esengine.algorithms.inverse_rl.settings import RewardNetworkSettings
from esengine.algorithms.saved_state import with_prefix, without_prefix
from esengine.algorithms.strategy import State
from esengine.demonstrations.trajectories import Demonstrations
from esengine.pool.pool import Pool
from esengine.problems import EnvironmentProblem
from esengine.rewards import LearnedReward, RewardedEpisodes, Steps


class GAIL:
    """The method. Its state is the generator's, the discriminator's, and the replay: the generated
    steps of the last generations.

    Args:
        settings: checked settings.
        problem: the pool's problem, with a source as the settings make it; the reward in the source
            is set now and after each generation.
        generator: makes the policies.
        demonstrations: the expert's.
        seed: the run's seed.
    """

    def __init__(
        self,
        settings: RewardNetworkSettings,
        problem: EnvironmentProblem,
        generator: Generator,
        demonstrations: Demonstrations,
        seed: int,
    ) -> None:
        self.settings = settings
        self.problem = problem
        self.generator = generator
        self.rewarded = problem.part(RewardedEpisodes)

        # The expert's steps, whose statistics scale the inputs of the networks
        self.expert_steps = steps = expert_steps(
            demonstrations, self.rewarded.horizon, settings.kept_every, seed
        )
        self.blank = self.rewarded.source
        alive = steps.at(np.flatnonzero(~steps.absorbing))
        reward, potential = (
            None
            if part is None
            else LearnedReward.initial(
                part.spec,
                seed,
                alive.observations,
                part.spec.beside(alive.choices, alive.next_observations),
            )
            for part in (self.blank.learned, self.blank.potential)
        )
        assert reward is not None
        self.discriminator = Discriminator(settings, seed, reward, potential, self.blank.discount)
        self.expert = Draws(self.discriminator.examples(steps), settings.reward_batch_size)

        self.replay: list[Steps] = []
        self._told: list[Examples] = []  # the replay as tensors
        self._metrics: dict[str, Any] = {}
        self.seconds: dict[str, float] = {}  # of the last step, except learning
        self._publish()

    @property
    def generation(self) -> int:
        return self.generator.generation

    @property
    def varying_state(self) -> tuple[str, ...]:
        """The beginnings of the names of arrays that a state may have or lack."""
        return (
            "discriminator/adam/",
            "replay/",
            *(f"generator/{name}" for name in self.generator.varying_state),
        )

    @property
    def reward(self) -> LearnedReward:
        """The reward learned so far."""
        return self.discriminator.network.reward()

    def step(self, pool: Pool, finished: dict[int, bytes]) -> tuple[int, int]:
        """Run one generation and return its numbers of steps and episodes.

        Raises:
            Interrupted: a signal arrived; ``finished`` has the evaluated results, and all else is
                as before.
            WorkerError: every member failed.
        """
        began = time.monotonic()
        improvement = self.generator.improve(pool, finished)
        self.seconds = {"generator": time.monotonic() - began}
        self._take(improvement.sampled)
        learned = self._learn()
        self._publish()
        self._metrics = improvement.metrics | learned
        return improvement.env_steps, improvement.episodes

    def _take(self, sampled: Sampled) -> None:
        """Add the steps of the sampled policies to the replay."""
        self._remember(sampled.steps)

    def _learn(self) -> dict[str, float]:
        """Learn from the expert's steps and the replay; return metrics."""
        generated = Draws(Examples.joined(self._told), self.settings.reward_batch_size)
        return self.discriminator.fit(self.expert, generated, self.generation, self._offsets)

    def _offsets(
        self, expert: NDArray[np.int64], generated: NDArray[np.int64]
    ) -> NDArray[np.float64] | None:
        """Return the offsets of the logits of a batch, see `Discriminator.fit`: none."""
        return None

    def _remember(self, steps: Steps) -> None:
        kept = self.settings.replay_generations
        self.replay = [*self.replay, steps][-kept:]
        self._told = [*self._told, self.discriminator.examples(steps)][-kept:]

    def _publish(self) -> None:
        potential = self.discriminator.potential
        shaping = None if potential is None else potential.reward()
        self.rewarded.source = replace(self.blank, learned=self.reward, potential=shaping)

    def should_stop(self) -> str | None:
        return self.generator.should_stop()

    def parameters(self) -> NDArray[np.floating]:
        return self.generator.parameters()

    def metrics(self) -> dict[str, Any]:
        return self._metrics | self.generator.metrics()

    def state(self) -> State:
        state = with_prefix("generator/", self.generator.state())
        state |= with_prefix("discriminator/", self.discriminator.state())
        if self.replay:
            state |= with_prefix("replay/", Steps.joined(self.replay)._asdict())
            state["replay/lengths"] = np.array([steps.num_rows for steps in self.replay])
        return state

    def restore(self, state: State) -> None:
        self.generator.restore(without_prefix("generator/", state))
        self.discriminator.restore(without_prefix("discriminator/", state))
        self.replay = []
        self._told = []
        replay = without_prefix("replay/", state)
        if replay:
            ends = np.cumsum(replay.pop("lengths"))
            joined = Steps(**replay)
            for start, stop in zip([0, *ends[:-1]], ends, strict=True):
                self._remember(joined.at(np.arange(start, stop)))
        self._publish()
