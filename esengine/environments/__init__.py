"""What an environment is: its spec, its spaces, rules about it, and the environments and physics
that ship.

Modules: `spec` (a gymnasium id with its arguments), `spaces` (how observations and actions become
numbers), `wrappers` (gymnasium's own, by name), `rules` (corrections written by hand),
`cartpole_swing_up`, `cartpole_fixed_horizon` and `point_maze` (environments), `classic_physics`,
`mujoco_physics` and `maze_physics` (compiled steps, observations and rewards).
"""

from esengine.environments.rules import Rules, load_rules
from esengine.environments.spaces import (
    ActionSpec,
    ObservationSpec,
    check_fit,
    describe,
    picture_in,
)
from esengine.environments.spec import EnvironmentSpec, class_of, is_classic, is_mujoco, name_of

__all__ = [
    "ActionSpec",
    "EnvironmentSpec",
    "ObservationSpec",
    "Rules",
    "check_fit",
    "class_of",
    "describe",
    "is_classic",
    "is_mujoco",
    "load_rules",
    "name_of",
    "picture_in",
]
