"""Plans over skills: a tree search in which every edge runs one of several saved policies for some
steps.

The tree grows as in planning under differential constraints (LaValle, Kuffner 2001, doi
10.1177/02783640122067453), but its edges are skills. A goal-conditioned policy is given a goal near
the start of the edge; any other policy runs as it is. Of an archive, a few
elites are tried in each state, chosen by their measures. At each depth the search keeps states that
lie far apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.planners.local_controllers import actions
from esengine.checks import at_least, positive
from esengine.goals.goal_api import GoalLayout
from esengine.policies.network import Actor
from esengine.seeding import derive_key, derive_seed, generator
from esengine.simulators.dynamics import ObservableDynamics


class Way(NamedTuple):
    """A sequence of controls.

    Attributes:
        controls: (num_steps, num_controls).
        gained: sum of rewards.
        ended: whether the episode terminates.
    """

    controls: NDArray[np.float64]
    gained: float
    ended: bool


class SkillMeasures(NamedTuple):
    """What the elites of an archive do, as skills.

    Attributes:
        first: number of the first elite among the skills; the others follow.
        measures: (num_elites, num_measures), from 0 to 1 within their ranges.
    """

    first: int
    measures: NDArray[np.float64]


@dataclass(frozen=True)
class SkillPlanner:
    """Settings of the search, which ``--planner-arg`` sets."""

    set_by: ClassVar[str] = "--planner-arg"

    skill_steps: int = 12
    """Number of steps per skill."""
    depth: int = 40
    """Largest number of skills in a plan."""
    width: int = 24
    """Number of states to keep at each depth."""
    goals: int = 12
    """Number of goals to try for each skill in each state."""
    spread: float = 1.0
    """Standard deviation of these goals around the achieved goal, in the goals' unit."""
    elites: int = 8
    """Number of elites of each archive to try in each state."""

    def check(self) -> None:
        """Raises UserError for settings that search nothing."""
        at_least(self, 1, "skill_steps", "depth", "width", "goals", "elites")
        positive(self, "spread")

    def plan(
        self,
        dynamics: ObservableDynamics,
        skills: Sequence[Actor],
        layout: GoalLayout | None,
        state: NDArray[np.float64],
        key: int,
        repertoires: Sequence[SkillMeasures] = (),
    ) -> Way:
        """Return the way with the largest gain, the shortest of equal ones.

        The search ends early when the best way terminates the episode with a positive gain.

        Args:
            dynamics: the dynamics of the environment.
            skills: policies with box actions.
            layout: where goals are in observations, or None if there are no goals.
            state: (state_size,) where to start.
            key: the key of all random goals and elites.
            repertoires: which of the skills are elites of archives, and what they do.
        """
        states = state[None]
        ways = [Way(np.zeros((0, dynamics.low.size)), 0.0, False)]
        best = ways[0]
        for level in range(self.depth):
            level_key = derive_seed(key, level)
            tried = self._tried(len(skills), repertoires, len(states), level_key)
            ends, grown = self._grown(dynamics, skills, tried, layout, states, ways, level_key)
            top = max(grown, key=lambda way: way.gained)
            if top.gained > best.gained or not best.controls.size:
                best = top
            if best.ended and best.gained > 0:
                break

            # States that lie far apart, of the ways that have not ended
            going = [i for i, way in enumerate(grown) if not way.ended]
            if not going:
                break
            places = ends[going, : dynamics.num_coordinates]
            kept = [going[i] for i in farthest(places, min(self.width, len(going)))]
            states = ends[kept]
            ways = [grown[i] for i in kept]
        return best

    def _tried(
        self, num_skills: int, repertoires: Sequence[SkillMeasures], num_states: int, key: int
    ) -> NDArray[np.int64]:
        """Which skills are tried in each state, (num_states, num_tried): all that are no elites,
        and of each archive the elites whose measures are nearest to random ones, so that what is
        tried differs in what it does.
        """
        alone = np.ones(num_skills, bool)
        for one in repertoires:
            alone[one.first : one.first + len(one.measures)] = False
        parts = [np.tile(np.flatnonzero(alone), (num_states, 1))]
        for number, one in enumerate(repertoires):
            wanted = generator(key, 1 + number).random(
                (num_states, self.elites, one.measures.shape[1])
            )
            apart = wanted[:, :, None] - one.measures
            parts.append(one.first + np.argmin(np.sum(apart**2, axis=3), axis=2))
        return np.concatenate(parts, axis=1)

    def _grown(
        self,
        dynamics: ObservableDynamics,
        skills: Sequence[Actor],
        tried: NDArray[np.int64],
        layout: GoalLayout | None,
        states: NDArray[np.float64],
        ways: list[Way],
        key: int,
    ) -> tuple[NDArray[np.float64], list[Way]]:
        """Continue every way by the skills to try in its state, and by every goal.

        Returns:
            the last states, (num_ways, state_size), and the ways.
        """
        # One row per state, skill and goal
        count = self.goals if layout is not None else 1
        each = np.repeat(np.arange(len(states)), count * tried.shape[1])
        chosen = np.repeat(tried, count, axis=1).ravel()
        used = np.unique(chosen).tolist()
        current = states[each]
        goals = np.zeros((len(each), 0))
        if layout is not None:
            near = layout.achieved_of(dynamics.observe(current))
            goals = near + self.spread * generator(key).standard_normal(near.shape)

        # All rows run their skills side by side
        controls = []
        gained = np.zeros(len(each))
        ended = np.zeros(len(each), bool)
        lengths = np.full(len(each), self.skill_steps)
        for step in range(self.skill_steps):
            seen = dynamics.observe(current)
            if layout is not None:
                seen = layout.aimed(seen, goals)
            control = np.empty((len(each), dynamics.low.size))
            for index in used:
                control[chosen == index] = actions(skills[index], seen[chosen == index])
            control = np.clip(control, dynamics.low, dynamics.high)
            controls.append(control)

            after = dynamics.step(current, control)
            gained += np.where(ended, 0.0, after.rewards)
            lengths[after.terminated & ~ended] = step + 1
            ended |= after.terminated
            current = after.states

        done = np.stack(controls, axis=1)
        return current, [
            Way(
                np.concatenate([ways[place].controls, done[i, : lengths[i]]]),
                ways[place].gained + float(gained[i]),
                bool(ended[i]),
            )
            for i, place in enumerate(each)
        ]


class SkillExpert:
    """An expert that acts along a way over skills, and plans the next way when it ends.

    Args:
        planner: the search.
        dynamics: the dynamics of the environment, on a copy.
        skills: policies with box actions of that environment's spaces.
        repertoires: which of them are elites of archives.
    """

    def __init__(
        self,
        planner: SkillPlanner,
        dynamics: ObservableDynamics,
        skills: Sequence[Actor],
        repertoires: Sequence[SkillMeasures] = (),
    ) -> None:
        planner.check()
        self._planner = planner
        self._dynamics = dynamics
        self._skills = skills
        self._repertoires = repertoires
        self._way = np.zeros((0, dynamics.low.size))

    def begin(self, env: gymnasium.Env[Any, Any], seed: int) -> None:
        """Start an episode of ``env``, which was reset with ``seed``."""
        self._env = env
        self._key = derive_key(seed, "plan over skills")
        self._number = 0
        self._way = self._way[:0]
        has_goals = isinstance(env.observation_space, gymnasium.spaces.Dict)
        self._layout = GoalLayout.of(env) if has_goals else None

    def act(self, observation: Any) -> Any:
        """Return the way's next action; the observation is not used."""
        if not len(self._way):
            state = self._dynamics.state_of(self._env)
            key = derive_seed(self._key, self._number)
            self._number += 1
            self._way = self._planner.plan(
                self._dynamics, self._skills, self._layout, state, key, self._repertoires
            ).controls
        control = self._way[0]
        self._way = self._way[1:]
        return self._dynamics.action_of(control)


def farthest(points: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return the indices of ``count`` points that lie far apart, ascending.

    This is the greedy solution of the k-center problem (Gonzalez 1985): from the first point on,
    the next point is the one farthest from those before it. Equal points are kept once.
    """
    chosen = [0]
    apart = np.linalg.norm(points - points[0], axis=1)
    while len(chosen) < count:
        index = int(np.argmax(apart))
        if apart[index] == 0:
            break
        chosen.append(index)
        apart = np.minimum(apart, np.linalg.norm(points - points[index], axis=1))
    return np.sort(np.array(chosen))
