"""Experts, which choose actions and labels: a user's function, a policy, a set of rules, a planner.

`begin` tells an expert of a new episode and hands it the environment, whose state a planner or a
privileged teacher may read (and must leave as it is). It is then asked for actions of the steps in
order, whether or not they are carried out; where labels are expensive, not at every step.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.environments import ActionSpec, ObservationSpec, Rules
from esengine.errors import UserError, in_one_line
from esengine.policies import Actor, Policy, load_policy
from esengine.user_code import named_callable


class Expert(Protocol):
    """The contract. A rank has one of its own; what it does may depend on nothing before
    `begin`.
    """

    def begin(self, env: gymnasium.Env[Any, Any], seed: int) -> None:
        """An episode begins: ``env`` was reset with ``seed``, of which all randomness of the expert
        must be a function.
        """

    def act(self, observation: Any) -> Any | None:
        """The action for the observation as the environment gave it, in the form that it takes;
        None if it does not know.
        """


@runtime_checkable
class AdaptiveExpert(Expert, Protocol):
    """An expert that can act nearly as well in a way that a learner could follow."""

    def toward(self, action: Any, weight: float) -> Any:
        """What to do where `act` was asked last, given that every distance from the learner's
        ``action`` costs ``weight``.
        """


@runtime_checkable
class GuidingExpert(AdaptiveExpert, Protocol):
    """An expert that plans a whole episode so that the learner can follow it."""

    def guide(self, actor: Actor, weight: float) -> None:
        """Told before `begin`: the learner, and how near to stay; 0 says that there is no learner
        yet.
        """

    def info(self) -> NDArray[np.float64]:
        """Numbers about the episode that has ended, which travel to the master with it."""


@runtime_checkable
class InformedExpert(Expert, Protocol):
    """An expert that acts by what the master has learned."""

    def inform(self, learned: NDArray[np.float32]) -> None:
        """Told before `begin`: what the master has learned, or nothing if that is not yet much."""


class FunctionExpert:
    """A function of the observation.

    Args:
        function: maps an observation to an action.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def begin(self, env: gymnasium.Env[Any, Any], seed: int) -> None:
        pass

    def act(self, observation: Any) -> Any:
        return self._function(observation)


class PolicyExpert:
    """A trained policy.

    Args:
        policy: draws its actions if it is a sampled one.

    Attributes:
        is_recurrent: whether it must be asked at every step.
    """

    _space: gymnasium.Space[Any]

    def __init__(self, policy: Policy) -> None:
        self._actor = policy.actor()
        self.is_recurrent = policy.spec.is_recurrent

    def begin(self, env: gymnasium.Env[Any, Any], seed: int) -> None:
        self._space, self._seed, self._step = env.observation_space, seed, -1
        self._observations = ObservationSpec.of(env.observation_space)

    def act(self, observation: Any) -> Any:
        self._step += 1
        return self._actor.act(
            self._observations.flat(self._space, observation), self._seed, self._step
        )


class RuleExpert:
    """Rules, and another expert where none of them fires.

    Args:
        rules: asked first.
        otherwise: asked then, or None: nobody knows there.
        complete: whether the rules must know everywhere, since nobody else acts.

    Attributes:
        fired: whether a rule fired when it was asked last.
    """

    fired = False

    def __init__(
        self, rules: Rules, otherwise: Expert | None = None, complete: bool = False
    ) -> None:
        self._rules, self._otherwise, self._complete = rules, otherwise, complete

    def begin(self, env: gymnasium.Env[Any, Any], seed: int) -> None:
        if self._otherwise is not None:
            self._otherwise.begin(env, seed)

    def act(self, observation: Any) -> Any | None:
        correction = self._rules.correction(observation)
        self.fired = correction is not None
        otherwise = (
            None if self._otherwise is None else self._otherwise.act(observation)
        )  # always: it may count steps
        if self._complete and correction is None and otherwise is None:
            raise UserError(
                f"--rules must know what to do everywhere where they act alone, but none fires "
                f"for {in_one_line(observation)}; "
                "add a rule that does, or --policy or --expert"
            )

        return otherwise if correction is None else correction


def load_expert(name: str) -> Expert:
    """The expert that ``module:name`` names: a function of the observation, or a class.

    A class is made without arguments, once a rank. Its instances are called with the observation,
    or have the methods of `Expert`; ``begin`` may be left out.

    Raises:
        UserError: there is none, or the class cannot be made or has nothing to call.
    """
    if ":" not in name and Path(name).exists():  # a policy belongs to another flag
        load_policy(name)
        raise UserError(
            f"--expert must be module:function, got the policy {name}; use --policy {name}"
        )
    found = named_callable("--expert", name, "mypackage.experts:swing_up")
    if not inspect.isclass(found):
        return found if hasattr(found, "begin") else FunctionExpert(getattr(found, "act", found))
    try:
        made = found()
    except Exception as error:
        raise UserError(
            f"--expert {name} must be made without arguments, but: {type(error).__name__}: {error}"
        ) from error
    if hasattr(made, "act") and hasattr(made, "begin"):
        return made
    function = getattr(made, "act", made)
    if not callable(function):
        raise UserError(
            f"--expert {name} must have act(observation), got a class without; give it one"
        )

    return FunctionExpert(function)


def label_of(action: ActionSpec, wanted: Any) -> NDArray[np.float64]:
    """An expert's action as numbers. Raises UserError if the environment has no such action."""
    try:
        values = action.flat(wanted)
        reason = action.misfit(values[None])
    except (TypeError, ValueError) as error:
        raise UserError(
            f"the expert's action must fit the environment, got {in_one_line(wanted)}: {error}; "
            f"correct the expert"
        ) from error
    if reason is not None or not np.isfinite(values).all():
        rule = "must be finite" if reason is None else reason.removesuffix(" at step 0")
        raise UserError(f"the expert's action {rule}, in {in_one_line(wanted)}; correct the expert")
    return values
