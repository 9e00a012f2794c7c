"""Runs on goals: any strategy, with a curriculum of easier goals and hindsight between the
generations.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from esengine.algorithms.goals.curriculum import Curriculum
from esengine.algorithms.goals.hindsight import improved
from esengine.algorithms.saved_state import with_prefix, without_prefix
from esengine.algorithms.strategy import HasMean, Strategy
from esengine.demonstrations.recording import Acting
from esengine.demonstrations.rounds import record
from esengine.demonstrations.stacked_trajectories import stacked, unstacked
from esengine.demonstrations.trajectories import Trajectory
from esengine.errors import UserError
from esengine.goals import GoalEpisodes, GoalList
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.runs.saving import Snapshot, copied
from esengine.launch.training.best_policy import GivenPolicy, PolicyReturns
from esengine.launch.training.loop import Callback
from esengine.launch.training.restoring import Groups
from esengine.launch.training.strategy_loop import StrategyTraining
from esengine.policies.network import check_memoryless
from esengine.pool import Pool
from esengine.problems import EnvironmentProblem
from esengine.storage import Checkpoint


class GoalTraining(StrategyTraining):
    """The training loop with a phase before every generation: wander, learn from hindsight, choose
    goals.
    """

    problem: EnvironmentProblem

    def __init__(
        self,
        pool: Pool,
        config: Any,
        directory: RunDirectory | None,
        method: Strategy,
        callbacks: tuple[Callback, ...],
    ) -> None:
        super().__init__(pool, config, directory, method, callbacks)
        if config.train.hindsight and not isinstance(method, HasMean):
            raise UserError(
                f"--hindsight must be used with a method that has a mean to improve, got "
                f"{config.method}; "
                "use --hindsight 0, or openai-es"
            )
        if config.train.hindsight:
            check_memoryless(self.problem.policy, "--hindsight")
        self.goals = self.problem.part(GoalEpisodes)
        self.curriculum = Curriculum(config.train, self.goals.layout.size)
        self._episodes: list[Trajectory] = []
        self._prepared = 0  # generation that the phase before it is done for

    def advance(self) -> None:
        super().advance()
        self.curriculum.tell(self.goals.returned["successes_by_goal"])
        self.curriculum.add(self.goals.achieved)
        self.row |= self.curriculum.metrics()

    def prepare(self) -> None:
        """Nothing is changed if a signal comes while episodes are recorded; what follows waits for
        nobody.
        """
        if self._prepared > self.method.generation:
            return
        train = self.train
        number = self.method.generation + 1
        row = np.asarray(self.method.parameters(), np.float32)
        acting = Acting(train.wandering_share)
        recorded = record(self.pool, row, acting, train.wandering_episodes, train.seed, number)
        found = [one.trajectory for one in recorded]

        self.count(sum(one.num_steps for one in found), len(found))
        self._episodes = (self._episodes + found)[-train.hindsight_episodes :]
        layout = self.goals.layout
        self.curriculum.add(
            np.concatenate([layout.achieved_of(one.observations[1:]) for one in found])
        )

        if train.hindsight:
            policy = (self.problem.policy, row, self.problem.scaling(), self._episodes, layout)
            learned = improved(*policy, train.hindsight, train.seed, number)
            assert isinstance(self.method, HasMean)
            self.method.mean = learned.astype(self.method.mean.dtype)
        self.goals.goals = GoalList(self.curriculum.goals.copy(), self.curriculum.shares())
        self._prepared = number

    def policy_returns(self, policy: GivenPolicy, num_episodes: int, purpose: str) -> PolicyReturns:
        returns = super().policy_returns(policy, num_episodes, purpose)
        success = self.goals.success
        if self.row and success is not None:
            self.row["success_eval"] = success
        return returns

    def snapshot(self) -> Snapshot:
        snapshot = super().snapshot()
        arrays = self.curriculum.state() | {
            "prepared": np.array(self._prepared),
            "shares": self.goals.goals.shares,
            "list": self.goals.goals.goals,
        }
        arrays |= with_prefix("episodes/", stacked(self._episodes))
        snapshot.checkpoint.arrays.update(copied(with_prefix("goals/", arrays)))
        return snapshot

    def restore_parts(self, checkpoint: Checkpoint, groups: Groups) -> None:
        super().restore_parts(checkpoint, groups)
        found = groups["goals"]
        self.curriculum.restore(found)
        episodes = without_prefix("episodes/", found)
        self._episodes = list(unstacked(episodes, checkpoint.name))
        self._prepared = int(found["prepared"])
        self.goals.goals = GoalList(found["list"], found["shares"])
