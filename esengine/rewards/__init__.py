"""Learned rewards: the network, its file, and the problem that pays by one.

Modules: `network`, `file`, `source` (a learned reward, the environment's own, and a potential
together), `problem` (episodes that are paid by a source), `sampling` (steps of members that come
back to the learner).
"""

from esengine.rewards.file import load_reward, save_reward
from esengine.rewards.network import LearnedReward
from esengine.rewards.sampling import SamplingProblem, Steps
from esengine.rewards.source import RewardSource

__all__ = [
    "LearnedReward",
    "RewardSource",
    "SamplingProblem",
    "Steps",
    "load_reward",
    "save_reward",
]
