"""Guided policy search as approximate mirror descent (Montgomery, Levine 2016, arXiv 1607.04614).

Every round has new start states (Montgomery et al. 2017, arXiv 1610.01112). From each start a
planner plans a trajectory. iLQR fits the local controller around it with the lowest cost within a
bounded divergence from the policy (the C-step, see `planners.local_controllers`). The policy is
then fitted to all controllers so far, with errors weighted by their precision (the S-step). The
bound, the step, grows while the policy improves as the controllers predicted, and shrinks
otherwise.

The paper fits linear dynamics to samples. So does --dynamics fitted: each start has a few
iterations of rollouts, of which the policy runs the first, and the divergence of each controller
from the last one is bounded (see `planners.fitted_controllers`). By default the simulator is
differentiated. The paper takes the policy's covariance from the controllers; here it is constant
(--policy-deviation), because the controllers' precisions made it shrink from round to round.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.imitation.aggregation import Aggregation, AggregationSettings
from esengine.algorithms.imitation.learner import Examples, Learner
from esengine.algorithms.planners.guided_expert import ControllerInfo
from esengine.algorithms.planners.local_controllers import adapted
from esengine.algorithms.strategy import State
from esengine.checks import positive
from esengine.demonstrations.recording import Acting, Recorded
from esengine.errors import UserError
from esengine.policies.network import check_compiled, check_memoryless

_MOST_WEIGHT = 10.0  # of an example, relative to the median


@dataclass(frozen=True)
class GuidedPolicySearchSettings(AggregationSettings):
    """Fit a policy to local controllers that improve on it step by step."""

    kl_step: float = 1.0
    """Largest divergence of local controllers from the policy, in nats per step; it adapts within a
    factor of 10.
    """
    policy_deviation: float = 0.3
    """Standard deviation of the policy's distribution, relative to half the action's range."""

    def check(self) -> None:
        super().check()
        positive(self, "kl_step", "policy_deviation")
        if self.demonstrations or self.every != 1 or self.loss not in ("auto", "mse"):
            raise UserError(
                "guided-policy-search fits by weighted squared errors what its own controllers "
                "do, got --demonstrations, "
                "--every or --loss; drop them"
            )
        if self.dynamics == "fitted":
            for given in self.planner_arg:
                if given.partition("=")[0] in ("kl_step", "deviation"):
                    raise UserError(
                        "guided-policy-search sets the step and the noise of its controllers by "
                        f"--kl-step and --policy-deviation, got --planner-arg {given}; drop it"
                    )


class GuidedPolicySearch(Aggregation):
    """The method. In the first round there is no policy yet: controllers have no constraint and no
    noise.
    """

    settings: GuidedPolicySearchSettings

    def __init__(self, settings: GuidedPolicySearchSettings, *arguments: Any) -> None:
        super().__init__(settings, *arguments)
        check_compiled(self.problem.policy, "guided-policy-search")
        check_memoryless(self.problem.policy, "guided-policy-search")
        self._precisions = np.zeros((0, 1))
        self._step = settings.kl_step
        self._promised = math.nan  # gain in return of the last controllers
        self._judged = math.nan  # return of the policy before them

    def acting(self) -> Acting:
        return Acting(1.0, attraction=0.0 if self._learner is None else self._step)

    def learned(self, recorded: list[Recorded], learner: Learner | None) -> dict[str, float]:
        """Keep the controllers' precisions, and adapt the step to the gain of the last one."""
        infos = [ControllerInfo.unpacked(one.expert_info, self._num_controls) for one in recorded]
        self._experts_own = (
            sum(one.num_steps for one in infos),
            sum(one.num_episodes for one in infos),
        )
        rows = np.concatenate([one.precisions.reshape(len(one.precisions), -1) for one in infos])
        self._precisions = np.concatenate([self._precisions.reshape(-1, rows.shape[1]), rows])
        policy = float(np.mean([one.policy_return for one in infos]))
        controllers = float(np.mean([one.controller_return for one in infos]))
        metrics = {"return_controllers": controllers}
        if learner is not None:
            if math.isfinite(self._promised):
                gained = policy - self._judged
                self._step = adapted(self._step, self.settings.kl_step, self._promised, gained)
            self._promised = controllers - policy
            self._judged = policy
            metrics |= {
                "return_policy": policy,
                "kl": float(np.mean([one.divergence for one in infos])),
                "kl_step": self._step,
            }
        return metrics

    @property
    def _num_controls(self) -> int:
        return len(self.problem.policy.action.sizes)

    def examples(self) -> Examples:
        """Return the controllers' means, weighted by their precisions."""
        import torch

        plain = super().examples()
        assert isinstance(plain, Examples)
        precisions = self._precisions.reshape(-1, self._num_controls, self._num_controls)
        weights = relative_weights(precisions, self.problem.policy.action.reach())
        return Examples(plain.observations, plain.targets, torch.tensor(weights.astype(np.float32)))

    def state(self) -> State:
        numbers = np.array([self._step, self._promised, self._judged])
        return super().state() | {"precisions": self._precisions, "numbers": numbers}

    def restore(self, state: State) -> None:
        super().restore(state)
        self._precisions = state["precisions"]
        self._step, self._promised, self._judged = state["numbers"].tolist()


def relative_weights(
    precisions: NDArray[np.float64], reach: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the weights of squared errors relative to half the range, (num_examples, m, m).

    Their mean trace is m. Precisions span decades if a system is briefly sensitive, so no example
    weighs more than ten times the median.

    Args:
        precisions: (num_examples, m, m) of controls.
        reach: (m,) half the range of each control.
    """
    weights = precisions * reach[:, None] * reach
    traces = np.trace(weights, axis1=1, axis2=2)
    weights = weights * np.minimum(1.0, _MOST_WEIGHT * np.median(traces) / traces)[:, None, None]
    return weights / (np.trace(weights, axis1=1, axis2=2).mean() / len(reach))
