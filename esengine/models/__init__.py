"""Learned models of environments: an ensemble of networks in which planners plan.

Modules: `ensemble` (the networks and their scaling), `file`, `dynamics` (what planners plan in,
in compiled code).
"""

from esengine.models.dynamics import LearnedDynamics
from esengine.models.ensemble import LearnedModel, ModelSpec
from esengine.models.file import load_model, save_model

__all__ = ["LearnedDynamics", "LearnedModel", "ModelSpec", "load_model", "save_model"]
