"""Learned rewards: the network, its file, and episodes that are judged by one.

Modules: `network`, `file`, `source` (a learned reward, the environment's own, and a potential
together), `episodes` (the part of a problem that judges by a source), `sampling` (steps of members
that come back to the learner), `likeness` (of evaluated policies to demonstrations).
"""

from esengine.rewards.episodes import RewardedEpisodes, trace_of, true_return
from esengine.rewards.file import load_reward, save_reward
from esengine.rewards.network import LearnedReward, RewardForm, RewardSpec, Sees
from esengine.rewards.sampling import Sampling, Steps
from esengine.rewards.source import RewardSource

__all__ = [
    "LearnedReward",
    "RewardForm",
    "RewardSource",
    "RewardSpec",
    "RewardedEpisodes",
    "Sampling",
    "Sees",
    "Steps",
    "load_reward",
    "save_reward",
    "trace_of",
    "true_return",
]
