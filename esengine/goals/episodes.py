"""Members that aim at goals: easier ones than the environment's own, drawn from a list that the
master publishes.

Which goal an episode aims at is a function of its seed, so the members that share a start share the
goal as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.goals.goal_api import GoalLayout, check_settable, is_success, reset_to
from esengine.problems import ArraySpec, EnvironmentEpisodes, EpisodeRunner
from esengine.seeding import derive_key, draw_unit
from esengine.simulators import Episode, MazeSimulator, make_simulator, run_episode
from esengine.user_code import close


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


class GoalEpisodes(EpisodeRunner):
    """The part of a problem with goals. Members of the search aim at those of a list; evaluations
    at the environment's own.

    A chunk of the search returns the episodes and successes of each goal, and what its last episode
    achieved.

    Args:
        num_goals: places of the list.

    Attributes:
        layout: of the goals in the observations.
        goals: the list; the master sets it.
        returned: what came back of the last population that was merged.
    """

    name = "goals"

    def __init__(self, num_goals: int = 256) -> None:
        self.num_goals = num_goals
        self.returned: dict[str, Any] = {}
        self._aimed: AimedEnv | None = None
        self._compiled: MazeSimulator | None = None

    def attach(self, problem: EnvironmentEpisodes) -> None:
        super().attach(problem)
        with problem.environment.opened() as env:
            self.layout = GoalLayout.of(env)
            env.reset(seed=0)
            check_settable(env)
        nothing = np.zeros((self.num_goals, self.layout.size))
        self.goals = GoalList(nothing, np.eye(1, self.num_goals + 1)[0])
        # goal, success and achieved goal of each of its episodes
        self._member: list[tuple[int, bool, NDArray[np.floating]]] = []
        self.begin_chunk()

    def array_specs(self, purpose: str) -> tuple[ArraySpec, ...]:
        if purpose != "episode":
            return (ArraySpec("successes", (2,), "sum"),)
        return (
            ArraySpec("successes_by_goal", self._tally.shape, "sum"),
            ArraySpec("achieved", (self.layout.size,), "chunks"),
        )

    def runs(self, purpose: str) -> bool:
        return True

    def begin_chunk(self) -> None:
        self._tally = np.zeros((self.num_goals + 1, 2))
        self._achieved = np.full(self.layout.size, np.nan)

    def end_member(self, succeeded: bool) -> None:
        if succeeded:
            for index, reached, achieved in self._member:
                self._tally[index] += (1, reached)
                self._achieved[:] = achieved
        self._member = []

    def arrays(self, candidates: Candidates, first: int, num_members: int) -> dict[str, Any]:
        if candidates.episode_purpose == "episode":
            return {"successes_by_goal": self._tally, "achieved": self._achieved}
        return {"successes": self._tally.sum(axis=0)}

    def merge(self, arrays: Mapping[str, Any]) -> None:
        self.returned |= arrays

    @property
    def achieved(self) -> NDArray[np.float64]:
        """A goal that each chunk of the last population achieved, (num_chunks, goal_size)."""
        achieved: NDArray[np.float64] = self.returned["achieved"]
        return achieved[np.isfinite(achieved).all(axis=1)]

    @property
    def success(self) -> float | None:
        """The share of the last evaluation's episodes that reached the environment's own goal."""
        episodes, successes = self.returned["successes"].tolist()
        return successes / episodes if episodes else None

    def recorded_env(self) -> AimedEnv:
        env = self._aimed_env()
        env.goals = self.goals
        return env

    def context(self) -> Mapping[str, NDArray[Any]]:
        return {"list": self.goals.goals, "shares": self.goals.shares}

    def set_context(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.goals = GoalList(np.array(arrays["list"]), np.array(arrays["shares"]))

    def run(
        self,
        candidates: Candidates,
        member: int,
        episode: int,
        seed: int,
        moments: NDArray[np.float64] | None,
    ) -> Episode:
        index = self.goals.drawn(seed) if candidates.episode_purpose == "episode" else 0
        try:
            outcome, reached = self._run(seed, index, moments)
        except (Exception, SystemExit):
            self._close_aimed()  # it may be in any state
            raise
        achieved = np.array(self.layout.achieved_of(np.asarray(outcome.last_observation)))
        self._member.append((index, reached, achieved))
        return outcome

    def _run(
        self, seed: int, index: int, moments: NDArray[np.float64] | None
    ) -> tuple[Episode, bool]:
        """One episode toward a goal of the list, counted from 1, or the environment's own; and
        whether it was reached.
        """
        problem = self.problem
        compiled = self._compiled_maze()
        if compiled is not None:
            goal = self.goals.goals[index - 1] if index else None
            limit = problem.max_episode_steps
            outcome = compiled.run(problem.actor, seed, moments, limit, goal=goal)
            return outcome, outcome.terminated

        env = self._aimed_env()
        env.goals = self.goals if index else None
        outcome = run_episode(
            env, problem.observations, problem.actor, seed, moments, problem.max_episode_steps
        )
        return outcome, env.reached

    def _compiled_maze(self) -> MazeSimulator | None:
        """The simulator that takes goals, or None where there is none."""
        problem = self.problem
        if problem.env_backend == "gymnasium" or problem.shield:
            return None
        if self._compiled is None:
            simulator = make_simulator(
                problem.environment, problem.observations, problem.env_backend
            )
            if not isinstance(simulator, MazeSimulator):
                simulator.close()
                problem.env_backend = "gymnasium"  # no compiled form takes goals
                return None
            self._compiled = simulator

        return self._compiled

    def _aimed_env(self) -> AimedEnv:
        """The rank's environment, made when it is first needed, or anew for every episode with
        ``fresh_env``.
        """
        if self._aimed is None or self.problem.fresh_env:
            self._close_aimed()
            self._aimed = AimedEnv(self.problem.environment.open())
        return self._aimed

    def _close_aimed(self) -> None:
        if self._aimed is not None:
            close(self._aimed)
            self._aimed = None
