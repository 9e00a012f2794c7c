"""Plans over skills: saved policies are run for a while each, and a tree of what they lead to is
searched for the way.

The tree grows as in planning under differential constraints (LaValle, Kuffner 2001, doi
10.1177/02783640122067453), but its edges are skills: a policy that knows goals is told one near the
place where the edge begins, another one is run as it is. Of the places that edges lead to, those
that lie far apart are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.checks import at_least, positive
from esengine.goals.goal_api import GoalLayout
from esengine.policies.network import Actor, forward_reference
from esengine.seeding import derive_key, derive_seed, generator
from esengine.simulators.dynamics import ObservableDynamics


class Way(NamedTuple):
    """A sequence of controls (num_steps, num_controls), what it gains, and whether it ends the
    episode.
    """

    controls: NDArray[np.float64]
    gained: float
    ended: bool


@dataclass(frozen=True)
class SkillPlanner:
    """Settings of the search, which ``--planner-arg`` sets."""

    set_by: ClassVar[str] = "--planner-arg"

    skill_steps: int = 12
    """Steps that a skill is run for."""
    depth: int = 40
    """Skills one after another."""
    width: int = 24
    """Places that are kept at each depth."""
    goals: int = 12
    """Goals that each skill is told at each place."""
    spread: float = 1.0
    """Standard deviation of these goals about what is achieved there, in the goals' unit."""

    def check(self) -> None:
        """Raises UserError for settings that search nothing."""
        at_least(self, 1, "skill_steps", "depth", "width", "goals")
        positive(self, "spread")

    def plan(
        self,
        dynamics: ObservableDynamics,
        skills: Sequence[Actor],
        layout: GoalLayout | None,
        state: NDArray[np.float64],
        key: int,
    ) -> Way:
        """The way that gains most, the shortest of equal ones; a way that ends the episode is taken
        only if it gains.

        Args:
            dynamics: of the environment.
            skills: policies with box actions.
            layout: where goals lie in observations, or None where skills have none.
            state: (state_size,) where to begin.
            key: of all goals that are drawn.
        """
        states, ways = state[None], [Way(np.zeros((0, dynamics.low.size)), 0.0, False)]
        best = ways[0]
        for level in range(self.depth):
            ends, grown = self._grown(
                dynamics, skills, layout, states, ways, derive_seed(key, level)
            )
            top = max(grown, key=lambda way: way.gained)
            if top.gained > best.gained or not best.controls.size:
                best = top
            if best.ended and best.gained > 0:
                break
            going = [i for i, way in enumerate(grown) if not way.ended]
            if not going:
                break
            places = ends[going, : dynamics.num_coordinates]
            kept = [going[i] for i in farthest(places, min(self.width, len(going)))]
            states, ways = ends[kept], [grown[i] for i in kept]
        return best

    def _grown(
        self,
        dynamics: ObservableDynamics,
        skills: Sequence[Actor],
        layout: GoalLayout | None,
        states: NDArray[np.float64],
        ways: list[Way],
        key: int,
    ) -> tuple[NDArray[np.float64], list[Way]]:
        """Every way continued by every skill toward every goal: the states that they end in, and
        the ways.
        """
        count = self.goals if layout is not None else 1
        each = np.repeat(
            np.arange(len(states)), count * len(skills)
        )  # place, then skill, then goal
        current, chosen = (
            states[each],
            np.tile(np.repeat(np.arange(len(skills)), count), len(states)),
        )
        goals = np.zeros((len(each), 0))
        if layout is not None:
            near = layout.achieved_of(dynamics.observe(current))
            goals = near + self.spread * generator(key).standard_normal(near.shape)
        gained, ended, controls = np.zeros(len(each)), np.zeros(len(each), bool), []
        lengths = np.full(len(each), self.skill_steps)
        for step in range(self.skill_steps):
            seen = dynamics.observe(current)
            if layout is not None:
                seen = layout.aimed(seen, goals)
            control = np.empty((len(each), dynamics.low.size))
            for index, skill in enumerate(skills):
                control[chosen == index] = actions(skill, seen[chosen == index])
            control = np.clip(control, dynamics.low, dynamics.high)
            after = dynamics.step(current, control)
            gained += np.where(ended, 0.0, after.rewards)
            lengths[after.terminated & ~ended] = step + 1
            ended |= after.terminated
            current = after.states
            controls.append(control)
        done = np.stack(controls, axis=1)
        grown = [
            Way(
                np.concatenate([ways[place].controls, done[i, : lengths[i]]]),
                ways[place].gained + float(gained[i]),
                bool(ended[i]),
            )
            for i, place in enumerate(each)
        ]
        return current, grown


def actions(skill: Actor, observations: NDArray[np.float32]) -> NDArray[np.float64]:
    """What a policy does at flat observations (n, obs_dim), (n, num_controls) float64."""
    sizes, scaling = (
        np.array(skill.spec.layer_sizes),
        (skill.observation_mean, skill.observation_inverse_std),
    )
    outputs = forward_reference(skill.parameters, sizes, observations, *scaling).astype(np.float64)
    done: NDArray[np.float64] = skill.spec.action.center() + skill.spec.action.reach() * outputs
    return done


class SkillExpert:
    """Acts along a way over skills, and plans the next one where it ends.

    Args:
        planner: searches.
        dynamics: of the environment, on a copy of its own.
        skills: policies with box actions of that environment's spaces.
    """

    def __init__(
        self, planner: SkillPlanner, dynamics: ObservableDynamics, skills: Sequence[Actor]
    ) -> None:
        planner.check()
        self._planner, self._dynamics, self._skills = planner, dynamics, skills
        self._way = np.zeros((0, dynamics.low.size))

    def begin(self, env: gymnasium.Env[Any, Any], seed: int) -> None:
        self._env, self._key, self._number = env, derive_key(seed, "plan over skills"), 0
        self._way = self._way[:0]
        self._layout = (
            GoalLayout.of(env) if isinstance(env.observation_space, gymnasium.spaces.Dict) else None
        )

    def act(self, observation: Any) -> Any:
        """The way's next action; the observation is not looked at."""
        if not len(self._way):
            start = self._dynamics.state_of(self._env)
            way = self._planner.plan(
                self._dynamics,
                self._skills,
                self._layout,
                start,
                derive_seed(self._key, self._number),
            )
            self._way, self._number = way.controls, self._number + 1
        control, self._way = self._way[0], self._way[1:]
        return self._dynamics.action_of(control)


def farthest(points: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Indices of ``count`` points that lie far apart, in their order: each next one is farthest
    from those before it.

    The greedy solution of the k-center problem (Gonzalez 1985), from the first point on; points
    that occur twice are kept once.
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
