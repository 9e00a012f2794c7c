"""A trial of an environment before a run: whether it keeps gymnasium's interface, and whether a
seed decides an episode.
"""

from __future__ import annotations

import copy
import hashlib
import random
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.environments import EnvironmentSpec, ObservationSpec
from esengine.environments.spec import limit_of
from esengine.errors import UserError
from esengine.simulators.contract import EnvBackend
from esengine.simulators.families import has_compiled, why_stepped
from esengine.simulators.stepped import without_limits
from esengine.user_code import described, number_of

SEEDS = (2**31 - 2, 1, 1234567890)
"""Seeds as large as those of runs, and a small one."""

_COMPARED = 50  # steps of an episode that a start of a run compares
_UNENDED = 1000  # steps that an episode without a limit of steps may take in a trial
_PATIENCE_S = 0.1  # of processor time for these
_LONG_S = 0.1  # of processor time for a first episode, beyond which a run's start compares none
_OLD_FORM = "for one of gym's old form use shimmy's GymV21Compatibility-v0"


def try_environment(
    spec: EnvironmentSpec,
    backend: EnvBackend = "auto",
    fresh_env: bool = False,
    max_episode_steps: int | None = None,
) -> list[str]:
    """Try one environment, and return what does not hold with it, in sentences.

    A compiled environment needs no trial. What an environment raises inside is left to members.

    Args:
        spec: the environment.
        backend: of the run.
        fresh_env: whether the run makes the environment anew for every episode.
        max_episode_steps: the run's own limit, or None.

    Raises:
        UserError: the environment cannot be made, or does not keep gymnasium's interface.
    """
    with spec.opened() as env:
        remarks = stepping_of(spec, env) if backend == "auto" else []
        if backend == "vectorized" or (backend != "gymnasium" and has_compiled(env)):
            return remarks

        began = time.process_time()
        try:
            first = list(frames_of(spec, env, SEEDS[0], _COMPARED))
            is_slow = time.process_time() - began > _LONG_S
            remarks += unlimited(spec, env, max_episode_steps)
            remarks += [] if is_slow else _varying(spec, env, fresh_env, first)
        except _Raised:
            pass
        return remarks


def stepping_of(spec: EnvironmentSpec, env: gymnasium.Env[Any, Any]) -> list[str]:
    """A sentence if something keeps an environment from its compiled form."""
    reason = why_stepped(env)
    if reason is None:
        return []
    return [
        f"gymnasium steps {spec.env_id}, since {reason}; compiled rollouts, which are faster, "
        f"would not be equal"
    ]


def episode_digests(spec: EnvironmentSpec, most_steps: int = 500) -> list[str]:
    """Digests of the episodes of several seeds, one after another in one environment: the first
    seed comes first, in the middle and last.

    Raises:
        UserError: the environment cannot be made, or does not keep gymnasium's interface.
    """
    first, *others = SEEDS
    seeds = [first, others[0], first, *others[1:], first]
    with spec.opened() as env:
        return [
            hashlib.blake2b(b"".join(frames_of(spec, env, seed, most_steps))).hexdigest()
            for seed in seeds
        ]


def frames_of(
    spec: EnvironmentSpec, env: gymnasium.Env[Any, Any], seed: int, most_steps: int
) -> Iterator[bytes]:
    """The observations, rewards and ends of an episode with random actions, as bytes for each step;
    equal for equal episodes.

    Args:
        spec: of the environment, for messages.
        env: reset and stepped, without the wrappers that only count steps.
        seed: of the reset and of the actions.
        most_steps: of the episode.

    Raises:
        UserError: the environment does not keep gymnasium's interface.
    """
    env = without_limits(env)[0]
    observations = ObservationSpec.of(env.observation_space)
    actions = copy.deepcopy(env.action_space)
    actions.seed(0)

    first = _reset(spec, env, seed)
    yield _flat(spec, env, observations, first).tobytes()
    for _ in range(most_steps):
        observation, reward, terminated, truncated = _step(spec, env, actions.sample())
        flat = _flat(spec, env, observations, observation)
        yield flat.tobytes() + np.array([reward, terminated, truncated]).tobytes()
        if terminated or truncated:
            return


class _Raised(Exception):
    """The environment raised an exception that is no matter of its interface."""


def unlimited(
    spec: EnvironmentSpec, env: gymnasium.Env[Any, Any], max_episode_steps: int | None
) -> list[str]:
    """A sentence if nothing ends an episode."""
    if limit_of(env) is not None or max_episode_steps is not None:
        return []

    began = time.process_time()
    num_steps = -1
    for _ in frames_of(spec, env, SEEDS[1], _UNENDED):
        num_steps += 1
        if num_steps and time.process_time() - began > _PATIENCE_S:
            break
    else:
        if num_steps < _UNENDED:
            return []
    return [
        f"{spec.env_id} has no limit of steps, and its first {num_steps} steps ended no episode; "
        f"if an episode may never end, set --max-episode-steps"
    ]


def _varying(
    spec: EnvironmentSpec, env: gymnasium.Env[Any, Any], fresh_env: bool, first: list[bytes]
) -> list[str]:
    """A sentence if another episode of the first seed differs.

    Args:
        spec, env: the environment.
        fresh_env: compare new environments only.
        first: the frames of the environment's first episode, of the first seed.
    """
    before = _global_states()

    def again(env: gymnasium.Env[Any, Any]) -> bool:
        return list(frames_of(spec, env, SEEDS[0], _COMPARED)) == first

    forgets = not fresh_env
    for num_steps in (3, _COMPARED) if forgets else ():  # an episode that is left, and a long one
        for _ in frames_of(spec, env, SEEDS[1], num_steps):
            pass
        forgets = forgets and again(env)
    if forgets:
        return []

    for _ in range(2):
        with spec.opened() as other:
            if not again(other):
                return [_by_chance(spec, before)]
    if fresh_env:
        return []
    return [
        f"the reset of {spec.env_id} keeps something of earlier episodes, so the result depends on "
        f"the number of ranks; with --fresh-env it does not"
    ]


def _by_chance(spec: EnvironmentSpec, before: list[bytes]) -> str:
    """The sentence about an environment whose episodes a seed does not decide."""
    used = [
        name
        for name, state, now in zip(
            ("Python's module random", "numpy.random"), before, _global_states(), strict=True
        )
        if state != now
    ]
    from_where = f" (it draws from {' and '.join(used)})" if used else ""
    return (
        f"reset(seed=...) of {spec.env_id} does not decide an episode{from_where}, so results "
        f"differ between runs and numbers of ranks; draw every number from self.np_random"
    )


def _global_states() -> list[bytes]:
    """The states of the two generators that belong to nobody."""
    numbers: Any = np.random.get_state()  # noqa: NPY002, it is looked at and not used
    return [repr(random.getstate()).encode(), numbers[1].tobytes() + repr(numbers[2:]).encode()]


def _reset(spec: EnvironmentSpec, env: gymnasium.Env[Any, Any], seed: int) -> Any:
    """The first observation of an episode. Raises UserError or _Raised."""
    try:
        result: Any = env.reset(seed=seed)
    except (Exception, SystemExit) as error:
        if isinstance(error, TypeError) and re.search("argument '?(seed|options)", str(error)):
            raise UserError(
                f"reset of {spec.env_id} must take seed and options, as "
                f"reset(*, seed=None, options=None), but raised: {error}; {_OLD_FORM}"
            ) from error
        _check_small_seed(spec, env, seed, error)
        raise _Raised from error

    is_pair = isinstance(result, tuple | list) and len(result) == 2
    if not is_pair or not isinstance(result[1], Mapping | None):
        raise UserError(
            f"reset of {spec.env_id} must return two values, observation and info, got "
            f"{described(result)}; {_OLD_FORM}"
        )
    return result[0]


def _check_small_seed(
    spec: EnvironmentSpec, env: gymnasium.Env[Any, Any], seed: int, error: BaseException
) -> None:
    """Raises UserError for an environment that takes a small seed after it refused a large one."""
    try:
        env.reset(seed=1)
    except (Exception, SystemExit):
        return
    raise UserError(
        f"reset of {spec.env_id} must take seeds below 2^31, but raised for {seed}: {error}; "
        f"reduce the seed within it"
    ) from error


def _step(
    spec: EnvironmentSpec, env: gymnasium.Env[Any, Any], action: Any
) -> tuple[Any, float, bool, bool]:
    """Observation, reward and the two ends of a step. Raises UserError or _Raised."""
    try:
        result: Any = env.step(action)
    except (Exception, SystemExit) as error:
        if "expected 5, got 4" in str(error):  # a wrapper unpacked it
            raise UserError(_wrong_step(spec, "four")) from error
        raise _Raised from error

    if not isinstance(result, tuple | list) or len(result) != 5:
        raise UserError(_wrong_step(spec, described(result)))
    observation, reward, terminated, truncated, _ = result
    number = number_of(f"the reward of {spec.env_id}", reward)
    ends = [
        _end(spec, name, value)
        for name, value in (("terminated", terminated), ("truncated", truncated))
    ]
    return observation, number, *ends


def _wrong_step(spec: EnvironmentSpec, got: str) -> str:
    return (
        f"step of {spec.env_id} must return five values, observation, reward, terminated, "
        f"truncated and info, got {got}; {_OLD_FORM}"
    )


def _end(spec: EnvironmentSpec, name: str, value: Any) -> bool:
    """Whether a step ends the episode."""
    if isinstance(value, bool | int | np.bool_ | np.integer) or (
        isinstance(value, np.ndarray) and value.size == 1
    ):
        return bool(value)
    raise UserError(
        f"step of {spec.env_id} must return True or False for {name}, got {described(value)}; "
        f"return a bool"
    )


def _flat(
    spec: EnvironmentSpec,
    env: gymnasium.Env[Any, Any],
    observations: ObservationSpec,
    observation: Any,
) -> NDArray[np.float64]:
    """The numbers of an observation. Raises UserError for one that is not of the environment's
    space.
    """
    space = env.observation_space
    if observations.direct and np.asarray(observation).dtype.kind not in "fiub":
        raise UserError(
            f"an observation of {spec.env_id} must be numbers of the dtype of {space}, got "
            f"{described(observation)}; convert it with numpy.asarray(observation, "
            f"{space.dtype})"
        )
    try:
        return observations.flat(space, observation, np.float64)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise UserError(
            f"an observation of {spec.env_id} must be of {space}, got {described(observation)}: "
            f"{type(error).__name__}: {error}; correct the environment or its space"
        ) from error
