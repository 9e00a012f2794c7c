"""Episodes that are recorded: a policy, an expert or both act, an expert labels, noise and rules
may step in.

`Recorder` makes recorded episodes a unit of work of the pool. An episode's seed is a
function of (seed, purpose, round, episode), and all that is drawn in it of that seed, so neither
the number of ranks nor their speed changes a bit.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.demonstrations.action_noise import ActionNoise, disagreement
from esengine.demonstrations.experts import (
    AdaptiveExpert,
    Expert,
    GuidingExpert,
    InformedExpert,
    PolicyExpert,
    RuleExpert,
    label_of,
)
from esengine.demonstrations.trajectories import Trajectory
from esengine.environments import ObservationSpec, Rules
from esengine.errors import NotFiniteError
from esengine.policies.network import Actor
from esengine.problems import (
    FAILED,
    ArraySpec,
    Evaluated,
    Evaluator,
    MembersFailed,
    failure_of,
    new_records,
)
from esengine.problems.failures import Failure
from esengine.seeding import derive_key, draw_unit
from esengine.simulators.stepped import run_agent, without_limits
from esengine.simulators.traces import check_finite, check_observation
from esengine.user_code import close, own_copy

PURPOSE = "record"
"""Begins the purpose of episodes that are recorded."""


class Recorded(NamedTuple):
    """A recorded episode.

    Attributes:
        trajectory: the record.
        disagreements: (num_steps,) how much the ensemble of learners disagrees at each step; empty
            without one.
        num_fired: steps at which a rule stepped in or gave the label.
        expert_info: numbers that the expert returns about the episode; empty if it returns none.
    """

    trajectory: Trajectory
    disagreements: NDArray[np.float64]
    num_fired: int
    expert_info: NDArray[np.float64] = np.zeros(0)

    def arrays(self) -> dict[str, Any]:
        """The episode as named arrays, without its seed."""
        one = self.trajectory
        return {
            "observations": one.observations,
            "actions": one.actions,
            "rewards": one.rewards,
            "labels": one.actions[:0] if one.labels is None else one.labels,
            "disagreements": self.disagreements,
            "expert_info": self.expert_info,
            "ended": [one.terminated, one.truncated],
            "num_fired": self.num_fired,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], seed: int) -> Recorded:
        """The inverse of `arrays`."""
        terminated, truncated = arrays["ended"].tolist()
        labels = arrays["labels"] if len(arrays["labels"]) else None
        trajectory = Trajectory(
            arrays["observations"],
            arrays["actions"],
            arrays["rewards"],
            terminated,
            truncated,
            seed,
            labels,
        )
        num_fired = int(arrays["num_fired"])
        return cls(trajectory, arrays["disagreements"], num_fired, arrays["expert_info"])


@dataclass(frozen=True)
class Acting:
    """Who acts and how, as the master publishes it for a round.

    Attributes:
        mixing: probability that the expert acts instead of the policy; without an expert the policy
            always does.
        noise: (num_choices, num_choices) a factor A of the covariance A A^T of what is added to box
            actions, or (0, 0).
        confusion: (sum of options^2,) for every discrete choice the probabilities of what is done
            given what is wanted, (options, options) row by row; or (0,).
        ensemble: (num_learners, num_parameters) learners whose disagreement decides what is
            labelled, or (0, 0).
        threshold: steps at which they disagree less are not labelled.
        attraction: cost of the distance of what the expert does from what the policy would do;
            labels do not include it.
        sampled: the policy draws its actions from its distribution, by the stream of the episode's
            seed.
        log_stds: (num_log_stds,) float32 of what a box policy draws that has none of its own, in
            halves of the action's range; or (0,).
        learned: what an `InformedExpert` is told, (any,) float32.
    """

    mixing: float = 1.0
    noise: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    confusion: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    ensemble: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    threshold: float = 0.0
    attraction: float = 0.0
    sampled: bool = False
    log_stds: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    learned: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {name: np.asarray(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Acting:
        parts: dict[str, Any] = {name: np.array(array) for name, array in arrays.items()}
        return cls(**{name: part if part.ndim else part.item() for name, part in parts.items()})


class Recorder(Evaluator):
    """Records episodes of a policy, an expert or both.

    Args:
        expert: acts or labels, or None.
        mix_per: whether the expert and the policy take turns by step or by episode.

    Attributes:
        acting: who acts in the next round; the master sets it.
    """

    name = "acting"
    purpose = PURPOSE

    def __init__(
        self, expert: Expert | None = None, mix_per: Literal["step", "episode"] = "step"
    ) -> None:
        self.expert = expert
        self.mix_per = mix_per
        self.acting = Acting()
        self._env: gymnasium.Env[Any, Any] | None = None

    def array_specs(self, purpose: str) -> tuple[ArraySpec, ...]:
        choices = (len(self.problem.policy.action.sizes),)
        return (
            ArraySpec("observations", (self.problem.observations.dim,), "ragged"),
            ArraySpec("actions", choices, "ragged"),
            ArraySpec("rewards", (), "ragged"),
            ArraySpec("labels", choices, "ragged"),
            ArraySpec("disagreements", (), "ragged"),
            ArraySpec("expert_info", (), "ragged"),
            ArraySpec("ended", (2,), missing=0, dtype="?"),
            ArraySpec("num_fired", missing=0, dtype="<i8"),
        )

    def evaluate(self, candidates: Candidates, first: int, rows: NDArray[np.floating]) -> Evaluated:
        records = new_records(first, len(rows))
        records["episodes"] = 1
        seeds = self.problem.seeds(candidates, records["member"], 1)[:, 0].tolist()
        specs = self.array_specs(candidates.episode_purpose)
        nothing = {spec.name: spec.absent(1) for spec in specs}
        arrays: dict[str, Any] = {name: [] for name in nothing}

        failures: list[Failure] = []
        for record, row, seed in zip(records, rows, seeds, strict=True):
            try:
                recorded = self.record(self._acting_policy(row), seed)
            except (Exception, SystemExit) as error:
                if not isinstance(error, NotFiniteError):
                    self._close_env()  # it may be in any state
                failures.append(failure_of(error, candidates, int(record["member"]), seed))
                record["fitness"] = np.nan
                record["status"] = FAILED
                for name, array in nothing.items():
                    arrays[name].append(array[0])
                continue
            record["fitness"] = recorded.trajectory.episode_return
            record["steps"] = recorded.trajectory.num_steps
            for name, array in recorded.arrays().items():
                arrays[name].append(array)

        if failures:
            raise MembersFailed(records, arrays, failures)
        return records, arrays

    def _acting_policy(self, row: NDArray[np.floating]) -> Actor:
        """The policy with these parameters, which draws its actions if it is to."""
        policy = self.problem.policy
        actor = self.problem.actor
        if policy.sampled or not self.acting.sampled:
            actor.parameters = np.array(row, np.float32)
            return actor
        spec = replace(policy, sampled=True)
        parameters = np.concatenate([row, self.acting.log_stds]).astype(np.float32)
        return Actor(spec, parameters, actor.observation_mean, actor.observation_inverse_std)

    def record(self, actor: Actor, seed: int) -> Recorded:
        """Record one episode of a policy."""
        if isinstance(self.expert, InformedExpert):
            self.expert.inform(self.acting.learned)
        return record_episode(
            self._recorded_env(),
            self.problem.observations,
            actor,
            self.expert,
            self.problem.shield,
            self.acting,
            seed,
            self.mix_per,
            self.problem.max_episode_steps,
        )

    def _recorded_env(self) -> gymnasium.Env[Any, Any]:
        """The rank's environment, made when it is first needed, or anew for every episode with
        ``fresh_env``.
        """
        env = self.problem.recorded_env()
        if env is not None:
            return env
        if self._env is None or self.problem.fresh_env:
            self._close_env()
            self._env = self.problem.environment.open()
        return self._env

    def _close_env(self) -> None:
        if self._env is not None:
            close(self._env)
            self._env = None

    def context(self) -> dict[str, NDArray[Any]]:
        return self.acting.arrays()

    def set_context(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.acting = Acting.from_arrays(arrays)


class _Rows:
    """The rows of an array that grows. What is there is moved and not copied, so that an episode
    takes its size once.

    Args:
        num_columns: of a row.

    Attributes:
        last: the last row, (num_columns,) float64.
    """

    def __init__(self, num_columns: int) -> None:
        self._num_columns = num_columns
        self._numbers: array[float] = array("d")
        self.last = np.zeros(num_columns)

    def add(self, row: NDArray[Any]) -> None:
        self.last = np.asarray(row, np.float64)
        self._numbers.frombytes(self.last.tobytes())

    def array(self) -> NDArray[np.float64]:
        """(num_rows, num_columns) all rows. None can be added any more."""
        return _read_only(self._numbers).reshape(-1, self._num_columns)


def _read_only(numbers: array[float]) -> NDArray[np.float64]:
    found = np.frombuffer(numbers)
    found.setflags(write=False)
    return found


def record_episode(
    env: gymnasium.Env[Any, Any],
    observations: ObservationSpec,
    actor: Actor,
    expert: Expert | None,
    shield: Rules,
    acting: Acting,
    seed: int,
    mix_per: Literal["step", "episode"] = "step",
    max_steps: int | None = None,
) -> Recorded:
    """Run and record one episode.

    Args:
        env: reset and stepped.
        observations: how its observations become flat vectors.
        actor: the policy.
        expert: labels every step that the ensemble, if there is one, disagrees about, and acts when
            its turn comes.
        shield: rules that step in.
        acting: who acts.
        seed: of the reset and of everything that is drawn.
        mix_per: see `Recorder`.
        max_steps: cut the episode after n steps, or None.
    """
    action = actor.spec.action
    space = env.observation_space
    disturb = ActionNoise(action, acting.noise, acting.confusion, seed)
    turns = np.uint64(derive_key(seed, "mixing"))
    choices = len(action.sizes)
    seen = _Rows(observations.dim)
    acted, labels = _Rows(choices), _Rows(choices)
    rewards: array[float] = array("d")
    disagreements: array[float] = array("d")
    num_fired = 0
    own = True  # whether every action was the expert's own

    def act(observation: Any, step: int) -> Any:
        nonlocal num_fired, own
        if step == 0 and isinstance(expert, GuidingExpert):
            expert.guide(actor, acting.attraction)
        if step == 0 and expert is not None:
            expert.begin(env, seed)
        flat = seen.last.astype(np.float32)

        # What the expert would do
        if acting.ensemble.size:
            disagreements.append(disagreement(actor, acting.ensemble, flat))
        turn = draw_unit(turns, np.uint64(0 if mix_per == "episode" else step)) < acting.mixing
        asked = turn or not disagreements or disagreements[-1] >= acting.threshold
        asked = asked or (isinstance(expert, PolicyExpert) and expert.is_recurrent)
        wanted = None
        if asked and expert is not None:
            wanted = own_copy(expert.act(own_copy(observation)))
        num_fired += int(asked and isinstance(expert, RuleExpert) and expert.fired)
        labels.add(np.full(choices, np.nan) if wanted is None else label_of(action, wanted))

        # Who acts; a recurrent policy must see every step
        leads = turn and wanted is not None
        done = wanted
        if not leads or acting.attraction or actor.spec.is_recurrent:
            planned = actor.act(flat, seed, step)
            done = wanted if leads else planned
        if acting.attraction and leads:
            assert isinstance(expert, AdaptiveExpert)
            done = expert.toward(planned, acting.attraction)

        # What is done
        disturbed = disturb(done)
        correction = shield.correction(observation)
        if correction is not None:
            disturbed = correction
            num_fired += 1
        own = own and disturbed is wanted
        acted.add(action.flat(disturbed))
        return disturbed

    def keep(step: int, done: Any, reward: float, observation: Any) -> None:
        seen.add(observations.flat(space, observation, np.float64))
        check_observation(seen.last, step)
        if step:
            rewards.append(reward)

    inner, limit = without_limits(env)
    most_steps = limit if max_steps is None else min(limit, max_steps)
    episode = run_agent(inner, observations, act, seed, most_steps, keep=keep)
    check_finite(episode)
    trajectory = Trajectory(
        seen.array(),
        acted.array(),
        _read_only(rewards),
        episode.terminated,
        episode.truncated,
        seed,
        None if expert is None or own else labels.array(),
    )
    info = expert.info() if isinstance(expert, GuidingExpert) else np.zeros(0)
    return Recorded(trajectory, np.array(disagreements), num_fired, info)
