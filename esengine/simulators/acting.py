"""One action of a policy inside a compiled loop."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.policies.network import act
from esengine.policies.normalizer import accumulate


@kernel
def decide(
    policy: Any,
    observation: NDArray[np.float32],
    moments: NDArray[np.float64],
    seed: np.uint64,
    step: int,
) -> None:
    """Add an observation to the moments, and write the policy's action into its last array.

    Args:
        policy: `Actor.compiled_arguments`.
        observation: (obs_dim,) float32.
        moments: packed observation moments, or an empty array.
        seed: stream of sampled actions.
        step: number of the step in its episode.
    """
    parameters, sizes, mean, inverse_std, hidden, head, sampled, decoded = policy
    if moments.size:
        accumulate(moments, observation)
    act(
        parameters,
        sizes,
        observation,
        mean,
        inverse_std,
        hidden,
        head,
        sampled,
        seed,
        np.uint64(step),
        decoded,
    )
