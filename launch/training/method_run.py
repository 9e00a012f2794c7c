"""What a run needs of its method, whatever it is: completed settings, a problem, and a loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from esengine.launch.runs.copied_files import copy_policy, copy_reward
from esengine.launch.settings.config import RunConfig
from esengine.launch.training.loop import Training
from esengine.launch.training.round_loop import RoundTraining
from esengine.pool.on_all_ranks import Built


class MethodRun(ABC):
    """From the settings of a run to the objects that carry it out; one class for each family of
    methods.

    Args:
        config: the settings of the run.
        objective: the function itself, when it comes from Python instead of by name.
    """

    def __init__(self, config: RunConfig, objective: Callable[..., Any] | None = None) -> None:
        self.config = config
        self.train = config.train
        self.objective = objective

    @property
    def loop(self) -> type[Training]:
        """The training loop."""
        return RoundTraining

    def completed(self) -> RunConfig:
        """The settings with those that follow from files, such as the environment of
        demonstrations. Raises UserError for settings that do not go together.
        """
        return self.config

    @abstractmethod
    def build(self, on_master: bool) -> Built[Any]:
        """The problem and, on the master, the method at its start. Raises UserError."""

    def check(self) -> Built[Any]:
        """Build what can be built before ranks start. Raises UserError for invalid settings."""
        return self.build(on_master=False)

    def copy_files(self, folder: Path) -> RunConfig:
        """Copy files to the run's folder, so that the run depends on no file elsewhere; returns the
        settings that name the copies.

        Raises:
            OSError, ValueError: a file cannot be read or written.
        """
        copies: dict[str, Path] = {}
        if self.train.init_policy is not None:
            copies["init_policy"] = copy_policy(folder, self.train.init_policy)
        for name in ("reward", "potential"):
            file = getattr(self.train, name)
            if file is not None:
                copies[name] = copy_reward(folder, name, file)
        return self.config.with_train(**copies)
