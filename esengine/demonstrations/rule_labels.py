"""Labels of demonstrations, corrected by rules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from esengine.demonstrations.trajectories import Trajectory
from esengine.environments import ActionSpec, Rules
from esengine.errors import UserError


def corrected(trajectory: Trajectory, rules: Rules, action: ActionSpec) -> Trajectory:
    """The trajectory with the rules' actions as labels at the steps where a rule fires.

    Args:
        trajectory: its flat observations are given to the rules.
        rules: the first that fires gives the label.
        action: the environment's actions.

    Raises:
        UserError: a rule's action is none of the environment's.
    """
    labels = np.array(trajectory.targets)
    fired = False

    for step, observation in enumerate(trajectory.observations[:-1]):
        wanted = rules.correction(observation)
        if wanted is not None:
            labels[step] = action.flat(wanted)
            fired = True

    if fired and (reason := action.misfit(labels[trajectory.labelled])):
        raise UserError(f"a rule's action {reason}; correct act(observation)")
    return replace(trajectory, labels=labels) if fired else trajectory
