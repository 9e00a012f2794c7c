"""What episodes left: trajectories, sets of demonstrations, and the transitions that learners take
from them.

All numbers are float64, so that the observation that an expert saw and the action that it gave are
kept to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.environments import ActionSpec, EnvironmentSpec
from esengine.errors import UserError, counted
from esengine.policies.normalizer import reach_scale
from esengine.seeding import derive_key, generator


class TrajectoryError(ValueError):
    """A trajectory that cannot be.

    Attributes:
        field: which of its parts is wrong.
        reason: rule and value.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")
        self.field, self.reason = field, reason


@dataclass(frozen=True, eq=False, repr=False)
class Trajectory:
    """The record of one episode. It checks itself and its arrays cannot be written. It copies
    arrays, except those of float64 that cannot be written.

    Attributes:
        observations: (num_steps + 1, obs_dim) float64, flat, the one after the last action
            included.
        actions: (num_steps, num_choices) float64, what was done, see `ActionSpec.flat`. No number
            a step where nobody knows.
        rewards: (num_steps,) float64.
        terminated: whether the task itself ended the episode, so that nothing follows its last
            observation.
        truncated: whether a limit of time cut it.
        seed: of the environment's reset, or None where nobody knows.
        labels: (num_steps, num_choices) float64, what the expert would have done; a row of NaN
            where nobody asked it. None if the actions are the expert's own.

    Raises:
        TrajectoryError: shapes do not belong together, or a number is not finite.
    """

    observations: NDArray[np.float64]
    actions: NDArray[np.float64]
    rewards: NDArray[np.float64]
    terminated: bool
    truncated: bool
    seed: int | None = None
    labels: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        for field in ("observations", "actions", "rewards", "labels"):
            value = getattr(self, field)
            if value is not None:
                object.__setattr__(self, field, _frozen(field, value))
        if self.observations.ndim != 2 or self.actions.ndim != 2:
            field = "observations" if self.observations.ndim != 2 else "actions"
            raise TrajectoryError(
                field,
                f"must have two axes, steps and numbers, got shape {getattr(self, field).shape}",
            )
        steps, choices = self.actions.shape
        if steps == 0:
            raise TrajectoryError("actions", "must have at least one step, got none")
        shapes = {
            "observations": (steps + 1, self.observations.shape[1]),
            "rewards": (steps,),
            "labels": (steps, choices),
        }

        for field, shape in shapes.items():
            value = getattr(self, field)
            if value is not None and value.shape != shape:
                raise TrajectoryError(
                    field, f"must have shape {shape} for {steps} actions, got {value.shape}"
                )
        for field in ("observations", "actions", "rewards"):
            _check_finite(field, getattr(self, field))
        if self.labels is not None:
            _check_finite("labels", self.labels[self.labelled])

    def __repr__(self) -> str:
        return f"Trajectory({self.num_steps:,} steps, return {self.rewards.sum():.6g})"

    @property
    def num_steps(self) -> int:
        return len(self.actions)

    @property
    def episode_return(self) -> float:
        return float(self.rewards.sum())

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """(num_steps,) the steps at which it is known what the expert does."""
        if self.labels is None:
            return np.ones(self.num_steps, bool)
        return np.asarray(~np.isnan(self.labels).all(axis=1))

    @property
    def targets(self) -> NDArray[np.float64]:
        """What the expert does at every step, (num_steps, num_choices): the labels, or its own
        actions.
        """
        return self.actions if self.labels is None else self.labels

    def equals(self, other: Trajectory) -> bool:
        """Whether the two are the same to the last bit."""
        return all(
            _same(getattr(self, field.name), getattr(other, field.name)) for field in fields(self)
        )


@dataclass(frozen=True, eq=False)
class Transitions:
    """Steps of trajectories, one after another.

    Attributes:
        observations, next_observations: (num_steps, obs_dim) float64.
        actions: (num_steps, num_choices) float64, what was done.
        targets: (num_steps, num_choices) float64, what the expert does there.
        rewards: (num_steps,) float64.
        terminated: (num_steps,) bool, whether nothing follows the next observation.
        trajectory: (num_steps,) int64 index of the trajectory that each step is from.
    """

    observations: NDArray[np.float64]
    next_observations: NDArray[np.float64]
    actions: NDArray[np.float64]
    targets: NDArray[np.float64]
    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    trajectory: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.actions)


@dataclass(frozen=True, eq=False, repr=False)
class Demonstrations:
    """Trajectories of one environment.

    Attributes:
        environment: where they come from.
        action: its actions.
        trajectories: at least one.

    Raises:
        UserError: there is no trajectory, or one is of another shape or acts out of bounds.
    """

    environment: EnvironmentSpec
    action: ActionSpec
    trajectories: tuple[Trajectory, ...]

    def __post_init__(self) -> None:
        check_together(self.action, self.trajectories, "demonstrations")

    def __repr__(self) -> str:
        steps = sum(one.num_steps for one in self.trajectories)
        return (
            f"Demonstrations({self.environment.env_id}, "
            f"{counted(len(self.trajectories), 'episode')}, {steps:,} steps)"
        )

    @property
    def observation_dim(self) -> int:
        return int(self.trajectories[0].observations.shape[1])

    @property
    def has_actions(self) -> bool:
        """Whether it is known what was done."""
        return self.trajectories[0].actions.shape[1] > 0

    @property
    def num_steps(self) -> int:
        return sum(trajectory.num_steps for trajectory in self.trajectories)

    @property
    def returns(self) -> NDArray[np.float64]:
        """(num_trajectories,) sum of rewards of each."""
        return np.array([trajectory.episode_return for trajectory in self.trajectories])

    def scaling(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The mean and inverse reach of the observations that were acted on, see `reach_scale`."""
        return reach_scale(np.concatenate([one.observations[:-1] for one in self.trajectories]))

    def choose(self, count: int, seed: int) -> Demonstrations:
        """``count`` of the trajectories, drawn by seed, in their order.

        Raises:
            UserError: there are fewer.
        """
        if not 1 <= count <= len(self.trajectories):
            raise UserError(
                f"the number of trajectories must lie between 1 and the {len(self.trajectories)} "
                f"that there are, got {count}"
            )
        chosen = np.sort(_order(len(self.trajectories), seed, "choose trajectories")[:count])
        return replace(self, trajectories=tuple(self.trajectories[i] for i in chosen))

    def split(self, fraction: float, seed: int) -> tuple[Demonstrations, tuple[Trajectory, ...]]:
        """Training and held-out parts: whole trajectories, since steps of one trajectory reveal
        each other.

        Args:
            fraction: of the trajectories to hold out, rounded down; fewer than 1 / fraction hold
                none out.
            seed: draws them.
        """
        count = int(fraction * len(self.trajectories) + 1e-9)
        order = _order(len(self.trajectories), seed, "hold out")
        held_out = tuple(self.trajectories[i] for i in np.sort(order[:count]))
        return replace(
            self, trajectories=tuple(self.trajectories[i] for i in np.sort(order[count:]))
        ), held_out

    def transitions(self, every: int = 1, seed: int = 0) -> Transitions:
        """Return the labelled steps of all trajectories, or one in ``every``, from a first one
        drawn by seed.

        Sparse steps are how the GAIL paper makes few demonstrations hard (Ho, Ermon 2016, arXiv
        1606.03476, section 6).
        """
        return transitions_of(self.trajectories, every, seed)


def transitions_of(
    trajectories: Sequence[Trajectory], every: int = 1, seed: int = 0
) -> Transitions:
    """See `Demonstrations.transitions`; none of the steps need be labelled."""
    parts: list[tuple[NDArray[Any], ...]] = []
    for index, trajectory in enumerate(trajectories):
        steps = learned_steps(trajectory, index, every, seed)
        last = np.zeros(trajectory.num_steps, bool)
        last[-1] = trajectory.terminated
        columns = (
            trajectory.observations[steps],
            trajectory.observations[steps + 1],
            trajectory.actions[steps],
            trajectory.targets[steps],
            trajectory.rewards[steps],
            last[steps],
            np.full(steps.size, index),
        )
        parts.append(columns)

    return Transitions(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def learned_steps(
    trajectory: Trajectory, index: int, every: int = 1, seed: int = 0
) -> NDArray[np.int64]:
    """The steps of a trajectory that are learned from, see `Demonstrations.transitions`.

    Args:
        trajectory: one of several.
        index: its place among them.
        every, seed: see there.
    """
    first = 0
    if every > 1:
        first = int(generator(derive_key(seed, "subsample"), index).integers(every))
    return np.flatnonzero(trajectory.labelled)[first::every]


def check_together(action: ActionSpec, trajectories: Sequence[Trajectory], what: str) -> None:
    """Raises UserError unless there are trajectories, of one length of observation, that act in the
    space, with labels.
    """
    if not trajectories:
        raise UserError(
            f"{what} must hold at least one trajectory, got none; collect some with esengine "
            f"collect"
        )

    dim = trajectories[0].observations.shape[1]
    width = len(action.sizes) if trajectories[0].actions.shape[1] else 0
    for index, trajectory in enumerate(trajectories):
        where = f"{what}, trajectory {index}"
        if trajectory.observations.shape[1] != dim:
            raise UserError(
                f"{where}: observations must have {dim} numbers as in trajectory 0, got "
                f"{trajectory.observations.shape[1]}"
            )
        for field, values in (
            ("actions", trajectory.actions),
            ("labels", trajectory.targets[trajectory.labelled]),
        ):
            if values.shape[1] != width:
                raise UserError(
                    f"{where}: {field} must have {width} numbers a step, got {values.shape[1]}"
                )
            reason = action.misfit(values) if width else None
            if reason is not None:
                raise UserError(f"{where}: {field} {reason}")
    if not any(trajectory.labelled.any() for trajectory in trajectories):
        raise UserError(
            f"{what}: labels must be known at one step at least, got NaN at all of them; collect "
            f"them again"
        )


def _order(count: int, seed: int, purpose: str) -> NDArray[np.int64]:
    return generator(derive_key(seed, purpose)).permutation(count)


def _frozen(field: str, value: Any) -> NDArray[np.float64]:
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        flags = value.flags
        if flags.c_contiguous and flags.aligned and not flags.writeable:
            return value
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError) as error:
        raise TrajectoryError(field, f"must be numbers, but: {error}") from error
    array.setflags(write=False)
    return array


def _check_finite(field: str, value: NDArray[np.float64] | None) -> None:
    if value is not None and not np.isfinite(value).all():
        step = int(np.argwhere(~np.isfinite(value))[0][0])
        raise TrajectoryError(
            field, f"must be finite, got {value[~np.isfinite(value)][0]} at step {step}"
        )


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return first.shape == second.shape and first.tobytes() == second.tobytes()
    return bool(first == second)
