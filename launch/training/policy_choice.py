"""Which policy a run saves: evaluations on the way and at the end."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from esengine.launch.runs.json_lines import Row
from esengine.launch.settings.train_settings import TrainSettings
from esengine.launch.training.best_policy import (
    BestPolicy,
    GivenPolicy,
    PolicyReturns,
    best_of,
)
from esengine.launch.training.clocks import Stopwatch
from esengine.launch.training.metric_columns import (
    episode_returns,
    evaluation_columns,
    mean_return,
)
from esengine.launch.training.problem_from_settings import AnyProblem, policy_episodes
from esengine.pool import Pool
from esengine.problems import EnvironmentProblem


class PolicyChoice:
    """The part of the training loop that evaluates policies.

    Attributes:
        keeps_best: whether evaluations choose the policy to save. Where a reward is learned from an
            expert, the environment's own return must not; the likeness to the expert does.
        best: the best policy that was evaluated, or None if the newest one is saved.
    """

    keeps_best: ClassVar[bool] = False

    pool: Pool
    train: TrainSettings
    problem: AnyProblem
    method: Any
    counters: dict[str, Any]
    row: Row
    _watch: Stopwatch

    def _keep_policies(self) -> None:
        """Begin at the policy of a method at its start."""
        self.best: BestPolicy | None = None
        self._final: GivenPolicy | None = None  # chosen at the end of the run
        self._closing_steps = 0  # of the evaluations at the end of the run
        is_evaluated = isinstance(self.problem, EnvironmentProblem) and self.train.eval_every > 0
        if self.keeps_best and is_evaluated and self.train.reward is None:
            self.best = BestPolicy(self.newest(), self.train.eval_episodes)

    def judge(self) -> None:
        """Evaluate the newest policy for the row, and keep it if it is the best one."""
        newest = self.newest()
        with self._watch.part("evaluate_policy"):
            found = self.policy_returns(newest, self.train.eval_episodes, "evaluation")
        self.row |= evaluation_columns(found.returns)
        reached = [self.row["episode_return_eval"]]
        if self.best is not None:
            self.best.judge(newest, found.scores)
            if found.are_returns_scores:
                self.row["episode_return_best"] = self.best.mean_return
                reached.append(self.best.mean_return)
            else:
                self.row["likeness_eval"] = mean_return(found.scores)
                self.row["likeness_best"] = self.best.mean_return

        self.counters["eval_env_steps"] += found.env_steps
        self.row["eval_env_steps"] = self.counters["eval_env_steps"]
        known = [each for each in reached if each is not None]
        self.counters["last_eval"] = max(known) if known else None

    def conclude(self) -> float | None:
        """Choose the policy that the run ends with, and evaluate it; returns the mean return of
        fresh episodes.

        The best, the newest and the first policy meet starts that decided nothing so far. A resumed
        run has to find the state as it was, so the choice is no part of it.
        """
        closing = []
        final = self.chosen()
        if self.best is not None:
            contenders = self.best.contenders(self.newest())
            closing = [
                self.policy_returns(each, self.train.final_episodes, "choice")
                for each in contenders
            ]
            final = contenders[best_of([each.scores for each in closing])]
        closing.append(self.policy_returns(final, self.train.final_episodes, "final"))

        self._final = final
        self._closing_steps = sum(each.env_steps for each in closing)
        return mean_return(closing[-1].returns)

    def judge_first(self) -> None:
        """Evaluate the policy that a new run starts from."""
        if self.best is None or self.best.is_known:
            return
        found = self.policy_returns(self.best.first, self.train.eval_episodes, "evaluation")
        self.best.judge(self.best.first, found.scores)
        self.counters["eval_env_steps"] += found.env_steps

    def renew_best(self) -> None:
        """Evaluate the best policy again, since the environment is another now."""
        if self.best is None or not self.best.is_known:
            return
        found = self.policy_returns(self.best.policy, self.train.eval_episodes, "evaluation")
        self.best.renew(found.scores)
        self.counters["eval_env_steps"] += found.env_steps

    def newest(self) -> GivenPolicy:
        """The method's policy as it is now."""
        assert isinstance(self.problem, EnvironmentProblem)
        row = np.array(self.method.parameters(), self.problem.dtype)
        return GivenPolicy(row, self.problem.scaling(), self.method.generation)

    def chosen(self) -> GivenPolicy:
        """The policy to use: the best that was evaluated or, if none is kept, the newest."""
        if self._final is not None:
            return self._final
        if self.best is not None and self.best.is_known:
            return self.best.policy
        return self.newest()

    def parameters(self) -> NDArray[np.floating]:
        """The parameters to use."""
        return np.asarray(self.chosen().row)

    def policy_returns(self, policy: GivenPolicy, num_episodes: int, purpose: str) -> PolicyReturns:
        """Evaluate a policy under its own scaling of observations."""
        assert isinstance(self.problem, EnvironmentProblem)
        episodes = policy_episodes(self.train, policy.row, num_episodes, purpose)
        with self.problem.scaled_by(*policy.scaling):
            evaluations = self.pool.evaluate(episodes)
        records = evaluations.records
        returns = episode_returns(records)
        scores = evaluations.arrays.get("likeness", returns)
        return PolicyReturns(returns, scores, int(records["steps"].sum()))
