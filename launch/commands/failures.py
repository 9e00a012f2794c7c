"""``esengine failures RUN``: cluster the ways in which a policy fails."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from esengine.checks import at_least, writable_folder
from esengine.errors import UserError
from esengine.launch.demonstrations.collecting import CollectSettings, collected
from esengine.launch.results.failure_clusters import as_json, cluster_failures, report
from esengine.launch.runs.outcomes import DONE
from esengine.launch.settings.flags import parse
from esengine.ranks import StopRequest
from esengine.storage.files import write_json


@dataclass(frozen=True)
class FailuresSettings:
    """Cluster the worst episodes of a policy by how they failed, so that you can write rules."""

    policy: Annotated[Path, tyro.conf.Positional]
    """A run directory or a policy file."""
    episodes: int = 100
    """Episodes to run."""
    worst: int = 20
    """Largest number of episodes that count as failed: those with the lowest return, never the
    highest one.
    """
    clusters: int = 3
    """Largest number of clusters."""
    window: int = 20
    """Number of consecutive steps; in an episode that did not terminate, those with the lowest sum
    of rewards mark the failure.
    """
    rules: tuple[str, ...] = ()
    """Modules of corrective rules that already override the policy."""
    seed: int = 0
    """Seed of the start states."""
    ranks: int | None = None
    """Workers to start on this machine; default one per core."""
    json: Path | None = None
    """Write the clusters to this file."""
    trust_modules: bool = False
    """Import the modules to which the policy's file refers, which runs their code."""

    def check(self) -> None:
        """Raises UserError for values out of range."""
        at_least(self, 1, "episodes", "worst", "clusters", "window")
        if self.worst > self.episodes:
            raise UserError(
                f"--worst must be at most --episodes {self.episodes}, got {self.worst}; use fewer"
            )
        writable_folder(self, "json")


def command(argv: list[str], stop: StopRequest) -> int:
    """Run the policy and print the clusters; returns the exit status. Raises UserError for a file
    that holds no policy.
    """
    settings = parse(FailuresSettings, argv, "esengine failures")
    settings.check()

    how = CollectSettings(
        policy=settings.policy,
        rules=settings.rules,
        episodes=settings.episodes,
        seed=settings.seed,
        ranks=settings.ranks,
        trust_modules=settings.trust_modules,
    )
    flags = ["--policy", str(settings.policy), "--episodes", str(settings.episodes)]
    flags += ["--seed", str(settings.seed)]
    if settings.rules:
        flags += ["--rules", *settings.rules]
    demonstrations = collected(how, flags, stop)
    if demonstrations is None:
        return DONE

    trajectories = list(demonstrations.trajectories)
    clusters = cluster_failures(trajectories, settings.worst, settings.clusters, settings.window)
    print(report(clusters, len(trajectories), demonstrations.returns), flush=True)
    if settings.json is not None:
        write_json(settings.json, as_json(clusters))
    return DONE
