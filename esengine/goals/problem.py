"""Members that aim at goals: easier ones than the environment's own, drawn from a list that the
master publishes.

Which goal an episode aims at is a function of its seed, so the members that share a start share the
goal as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.demonstrations.recording import PURPOSE, RecordingProblem
from esengine.goals.goal_api import GoalLayout, check_settable, is_success, reset_to
from esengine.problems import ArraySpec
from esengine.problems.contract import Evaluated
from esengine.problems.environment import EpisodeRules, MemberRun
from esengine.problems.failures import MembersFailed
from esengine.seeding import derive_key, draw_unit
from esengine.simulators.contract import BatchSimulator, Episode
from esengine.simulators.families import make_simulator
from esengine.simulators.maze import MazeSimulator
from esengine.simulators.stepped import run_episode


@dataclass(frozen=True)
class GoalList:
    """Goals that episodes are drawn to aim at.

    Attributes:
        goals: (num_goals, goal_size).
        shares: (num_goals + 1,) probabilities of the environment's own goal, and of each of the
            list.
    """

    goals: NDArray[np.float64]
    shares: NDArray[np.float64]

    def drawn(self, seed: int) -> int:
        """The goal of the episode of a seed: 0 for the environment's own, 1 for the first of the
        list.
        """
        bounds = np.cumsum(self.shares)
        draw = bounds[-1] * draw_unit(np.uint64(derive_key(seed, "goal")), np.uint64(0))
        return int(np.searchsorted(bounds, draw, "right"))

    def aim(self, seed: int) -> NDArray[np.float64] | None:
        """What the episode of a seed aims at, (goal_size,), or None for the environment's own
        goal.
        """
        index = self.drawn(seed)
        return self.goals[index - 1] if index else None


class AimedEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Resets to the goals of a list, or to the environment's own.

    Attributes:
        goals: the list, or None.
        reached: whether the episode has reached its goal.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.goals: GoalList | None = None
        self.reached = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        assert seed is not None, "an episode is a function of its seed"
        self.reached = False
        return reset_to(self.env, seed, None if self.goals is None else self.goals.aim(seed)), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.reached |= is_success(info)
        return observation, reward, terminated, truncated, info


@dataclass
class GoalProblem(RecordingProblem):
    """An environment with goals. Members of the search aim at those of a list; evaluations at the
    environment's own.

    A chunk of the search returns the episodes and successes of each goal, and what its last episode
    achieved.

    Args:
        num_goals: places of the list.
    """

    num_goals: int = 256
    layout: GoalLayout = field(init=False)
    _aimed: AimedEnv | None = field(default=None, init=False, repr=False)
    _compiled: MazeSimulator | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        env = self.environment.make()
        self.layout = GoalLayout.of(env)
        env.reset(seed=0)
        check_settable(env)
        env.close()
        self.goals = GoalList(
            np.zeros((self.num_goals, self.layout.size)), np.eye(1, self.num_goals + 1)[0]
        )
        self._tally = np.zeros((self.num_goals + 1, 2))
        self._achieved = np.full(self.layout.size, np.nan)
        self._of_generation, self._judged = np.zeros_like(self._tally), np.zeros(2)
        self._met: list[NDArray[np.float64]] = []

    def array_specs(self, purpose: str) -> tuple[ArraySpec, ...]:
        specs = super().array_specs(purpose)
        if purpose.startswith(PURPOSE):
            return specs
        if purpose != "episode":
            return (*specs, ArraySpec("successes", (2,), "sum"))
        return (
            *specs,
            ArraySpec("successes_by_goal", self._tally.shape, "sum"),
            ArraySpec("achieved", (self.layout.size,), "chunks"),
        )

    def _batch_simulator(self, training: bool) -> BatchSimulator | None:
        return None  # each episode has a goal of its own

    def evaluate(self, candidates: Candidates, first: int, rows: NDArray[np.floating]) -> Evaluated:
        if candidates.episode_purpose.startswith(PURPOSE):
            return super().evaluate(candidates, first, rows)
        self._tally[:], self._achieved[:] = 0, np.nan
        try:
            records, arrays = super().evaluate(candidates, first, rows)
        except MembersFailed as failed:
            arrays = {**failed.arrays, **self._more(candidates)}
            raise MembersFailed(failed.records, arrays, failed.failures) from failed
        return records, arrays | self._more(candidates)

    def merge(self, arrays: Mapping[str, Any]) -> None:
        super().merge(arrays)
        if "successes" in arrays:
            self._judged += arrays["successes"]
        elif "successes_by_goal" in arrays:
            self._of_generation += arrays["successes_by_goal"]
            self._met += [one for one in arrays["achieved"] if np.isfinite(one).all()]

    def take_tally(self) -> NDArray[np.float64]:
        """Episodes and successes of each goal that were merged since the last call, (num_goals + 1,
        2), the own goals first.
        """
        tally = self._of_generation.copy()
        self._of_generation[:] = 0
        return tally

    def take_achieved(self) -> NDArray[np.float64]:
        """A goal that each chunk achieved, of those merged since the last call, (num_chunks,
        goal_size).
        """
        met = np.array(self._met).reshape(-1, self.layout.size)
        self._met.clear()
        return met

    def take_success(self) -> float | None:
        """The share of evaluated episodes, merged since the last call, that reached the
        environment's own goal.
        """
        episodes, successes = self._judged.tolist()
        self._judged[:] = 0
        return successes / episodes if episodes else None

    def _recorded_env(self) -> AimedEnv:
        env = self._aimed_env()
        env.goals = self.goals
        return env

    def context(self) -> dict[str, NDArray[Any]]:
        return super().context() | {
            "goals/list": self.goals.goals,
            "goals/shares": self.goals.shares,
        }

    def set_context(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        super().set_context(arrays)
        self.goals = GoalList(np.array(arrays["goals/list"]), np.array(arrays["goals/shares"]))

    def _run_member(
        self,
        candidates: Candidates,
        member: int,
        seeds: NDArray[np.uint64],
        moments: NDArray[np.float64] | None,
        rules: EpisodeRules,
    ) -> MemberRun:
        training = candidates.episode_purpose == "episode"
        returns, steps, tally = np.zeros(seeds.size), 0, np.zeros_like(self._tally)
        for episode, seed in enumerate(seeds.tolist()):
            try:
                index = self.goals.drawn(seed) if training else 0
                outcome, reached = self._run(seed, index, moments)
            except (Exception, SystemExit) as error:
                self._failed(error, candidates, member, seed)
                self._aimed = None
                return MemberRun.failed(seeds.size)
            returns[episode] = outcome.episode_return
            steps += outcome.num_steps
            tally[index] += (1, reached)
            self._achieved[:] = self.layout.achieved_of(np.asarray(outcome.last_observation))
        if np.isfinite(returns).all():
            self._tally += tally
        return MemberRun(returns, steps, False, {})

    def _run(
        self, seed: int, index: int, moments: NDArray[np.float64] | None
    ) -> tuple[Episode, bool]:
        """One episode toward a goal of the list, counted from 1, or the environment's own; and
        whether it was reached.
        """
        compiled = self._compiled_maze()
        if compiled is not None:
            goal = self.goals.goals[index - 1] if index else None
            outcome = compiled.run(self.actor, seed, moments, self.max_episode_steps, goal=goal)
            return outcome, outcome.terminated
        env = self._aimed_env()
        env.goals = self.goals if index else None
        outcome = run_episode(
            env, self.observations, self.actor, seed, moments, self.max_episode_steps
        )
        return outcome, env.reached

    def _compiled_maze(self) -> MazeSimulator | None:
        if self.env_backend == "gymnasium" or self.shield:
            return None
        if self._compiled is None:
            simulator = make_simulator(self.environment, self.observations, self.env_backend)
            if not isinstance(simulator, MazeSimulator):
                simulator.close()
                self.env_backend = "gymnasium"  # there is no compiled form that takes goals
                return None
            self._compiled = simulator
        return self._compiled

    def _aimed_env(self) -> AimedEnv:
        """The rank's environment, made when it is first needed, or anew for every episode with
        ``fresh_env``.
        """
        if self._aimed is None or self.fresh_env:
            if self._aimed is not None:
                self._aimed.close()
            self._aimed = AimedEnv(self.environment.make())
        return self._aimed

    def _more(self, candidates: Candidates) -> dict[str, Any]:
        if candidates.episode_purpose == "episode":
            return {"successes_by_goal": self._tally.copy(), "achieved": self._achieved.copy()}
        return {"successes": self._tally.sum(axis=0)}
