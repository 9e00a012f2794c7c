"""Demonstrations: trajectories, their files, experts, and recording episodes on the pool.

Modules: `trajectories`, `files` (npz), `minari_datasets`, `recording` (who acts, and what is kept),
`experts`, `action_noise`, `half_random` (exploring actions), `rule_labels` (labels corrected by
rules).
"""

from esengine.demonstrations.files import load_demonstrations, save_demonstrations
from esengine.demonstrations.trajectories import Demonstrations, Trajectory

__all__ = ["Demonstrations", "Trajectory", "load_demonstrations", "save_demonstrations"]
