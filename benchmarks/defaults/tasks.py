"""The tasks and methods of the table."""

from __future__ import annotations

from typing import NamedTuple

METHODS = ("cma-es", "ars", "openai-es", "truncation-es")
SEEDS = (0, 1, 2)


class Task(NamedTuple):
    """A task.

    Attributes:
        env_id: the environment.
        env_steps: budget of training.
        chose: whether the rules behind the defaults were chosen on it. All others only report.
        published: what others reached, with their number of steps.
    """

    env_id: str
    env_steps: int
    chose: bool
    published: str = ""


TASKS = (
    Task("InvertedDoublePendulum-v5", 1_000_000, True, "9,360 is solved"),
    Task("Reacher-v5", 500_000, True, "about -4, an expert of the GAIL paper"),
    Task("LunarLander-v3", 500_000, True, "PPO 242 at 1 M, DQN 154 at 0.1 M (zoo)"),
    Task("MountainCarContinuous-v0", 500_000, True, "ARS 96.7, SAC 94.7 (zoo)"),
    Task("Hopper-v5", 1_000_000, True, "ARS 3,120 after 1,973 episodes (paper)"),
    Task("Ant-v5", 1_000_000, False, "ARS 2,334 at 75 M (zoo)"),
    Task("Walker2d-v5", 1_000_000, False, "ARS 2,994 at 75 M, PPO 3,479 at 1 M (zoo)"),
    Task("Pusher-v5", 500_000, False),
    Task("HalfCheetah-v5", 1_000_000, False, "ARS 3,430 after 1,707 episodes (paper)"),
    Task("LunarLanderContinuous-v3", 500_000, False, "ARS 168 at 2 M (zoo)"),
    Task("BipedalWalker-v3", 500_000, False, "PPO 213, A2C 300 at 5 M (zoo)"),
    Task("Acrobot-v1", 500_000, False),
)
"""Zoo: the table of rl-baselines3-zoo. Paper: Mania, Guy, Recht 2018 (arXiv 1803.07055)."""
