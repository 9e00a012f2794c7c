"""Runs on goals: any strategy, with a curriculum of easier goals and hindsight between the
generations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.goals.curriculum import Curriculum
from esengine.algorithms.goals.hindsight import improved
from esengine.demonstrations.recording import Acting, Recorded, pack, record, unpack
from esengine.demonstrations.trajectories import Trajectory
from esengine.errors import UserError
from esengine.goals.problem import GoalList, GoalProblem
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.runs.saving import Snapshot, copied
from esengine.launch.training.loop import Callback, Training
from esengine.pool.pool import Pool
from esengine.storage.checkpoint import Checkpoint


class GoalTraining(Training):
    """The training loop with a phase before every generation: wander, learn from hindsight, choose
    goals.
    """

    problem: GoalProblem

    def __init__(
        self,
        pool: Pool,
        config: Any,
        directory: RunDirectory | None,
        strategy: Any,
        callbacks: tuple[Callback, ...],
    ) -> None:
        super().__init__(pool, config, directory, strategy, callbacks)
        if config.train.hindsight and not hasattr(strategy, "mean"):
            raise UserError(
                f"--hindsight must be used with a method that has a mean to improve, got "
                f"{config.method}; "
                "use --hindsight 0, or openai-es"
            )
        self.curriculum = Curriculum(config.train, self.problem.layout.size)
        self._episodes: list[Trajectory] = []
        self._prepared = 0  # generation that the phase before it is done for

    def advance(self) -> None:
        super().advance()
        self.curriculum.tell(self.problem.take_tally())
        self.curriculum.add(self.problem.take_achieved())
        assert self.row is not None
        self.row |= self.curriculum.metrics()

    def prepare(self) -> None:
        """Nothing is changed if a signal comes while episodes are recorded; what follows waits for
        nobody.
        """
        if self._prepared > self.strategy.generation:
            return
        train, number = self.train, self.strategy.generation + 1
        row = np.asarray(self.strategy.parameters(), np.float32)
        recorded = record(
            self.pool,
            row,
            Acting(train.wandering_share),
            train.wandering_episodes,
            train.seed,
            number,
        )
        found = [one.trajectory for one in recorded]
        self.counters["env_steps"] += sum(one.num_steps for one in found)
        self.counters["evaluations"] += len(found)
        self._episodes = (self._episodes + found)[-train.hindsight_episodes :]
        layout = self.problem.layout
        self.curriculum.add(
            np.concatenate([layout.achieved_of(one.observations[1:]) for one in found])
        )
        if train.hindsight:
            policy = (self.problem.policy, row, self.problem.scaling(), self._episodes, layout)
            learned = improved(*policy, train.hindsight, train.seed, number)
            self.strategy.mean = learned.astype(self.strategy.mean.dtype)
        self.problem.goals = GoalList(self.curriculum.goals.copy(), self.curriculum.shares())
        self._prepared = number

    def _policy_returns(
        self, row: NDArray[np.floating], num_episodes: int, purpose: str
    ) -> NDArray[np.float64]:
        returns = super()._policy_returns(row, num_episodes, purpose)
        success = self.problem.take_success()
        if self.row is not None and success is not None:
            self.row["success_eval"] = success
        return returns

    def _snapshot(self) -> Snapshot:
        snapshot = super()._snapshot()
        images = [pack(Recorded(one, np.zeros(0), 0)) for one in self._episodes]
        arrays = self.curriculum.state() | {
            "episodes": np.concatenate([np.zeros(0), *images]),
            "prepared": np.array(self._prepared),
            "shares": self.problem.goals.shares,
            "list": self.problem.goals.goals,
        }
        snapshot.checkpoint.arrays.update(
            copied({f"goals/{name}": array for name, array in arrays.items()})
        )
        return snapshot

    def restore(self, checkpoint: Checkpoint) -> None:
        super().restore(checkpoint)
        found = {
            name[6:]: array
            for name, array in checkpoint.arrays.items()
            if name.startswith("goals/")
        }
        try:
            self.curriculum.restore(found)
            self._episodes = [one.trajectory for one in unpack(found["episodes"])]
            self._prepared = int(found["prepared"])
            self.problem.goals = GoalList(found["list"], found["shares"])
        except (KeyError, ValueError, IndexError) as error:
            raise UserError(
                f"checkpoint {checkpoint.name} must hold a curriculum, but: {error!r}; restore it "
                f"from a copy"
            ) from error
