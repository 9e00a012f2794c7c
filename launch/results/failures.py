"""``esengine failures RUN``: a policy's worst episodes, clustered by where they went wrong."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from esengine.checks import at_least, writable_folder
from esengine.demonstrations import Trajectory
from esengine.errors import UserError, put
from esengine.launch.demonstrations.collecting import CollectSettings, collected
from esengine.launch.runs.outcomes import DONE
from esengine.launch.settings.flags import parse
from esengine.launch.settings.help import Positional
from esengine.pool import WorkerRules
from esengine.ranks import StopRequest
from esengine.ranks.world import available_cores
from esengine.storage.files import write_json

_ITERATIONS = 100


@dataclass(frozen=True)
class _Episodes:
    """What to run, and how its episodes are compared."""

    policy: Annotated[Path, Positional()]
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
    workers: int | None = None
    """Workers to start on this machine; default one per core."""
    json: Path | None = None
    """Write the clusters to this file."""
    trust_modules: bool = False
    """Import the modules to which the policy's file refers, which runs their code."""


@dataclass(frozen=True)
class FailuresSettings(WorkerRules, _Episodes):
    """Cluster the worst episodes of a policy by how they failed, so that you can write rules."""

    def check(self) -> None:
        """Raises UserError for values out of range."""
        WorkerRules.check(self)
        at_least(self, 1, "episodes", "worst", "clusters", "window")
        if self.worst > self.episodes:
            raise UserError(
                f"--worst must be at most --episodes {self.episodes}, got {self.worst}; use fewer"
            )
        writable_folder(self, "json")


def failures_command(argv: list[str], stop: StopRequest) -> int:
    """Run the policy and print the clusters; returns the exit status. Raises UserError for a file
    that holds no policy.
    """
    settings = parse(FailuresSettings, argv, "esengine failures")
    settings.check()

    shared = {field.name for field in fields(CollectSettings)} & asdict(settings).keys()
    how = CollectSettings(**{name: getattr(settings, name) for name in shared})
    demonstrations = collected(how, how.workers or available_cores(), stop)
    if demonstrations is None:
        return DONE

    trajectories = list(demonstrations.trajectories)
    clusters = cluster_failures(trajectories, settings.worst, settings.clusters, settings.window)
    put(report(clusters, len(trajectories), demonstrations.returns), flush=True)
    if settings.json is not None:
        write_json(settings.json, as_json(clusters))
    return DONE


@dataclass(frozen=True)
class Cluster:
    """Episodes that failed in a similar way.

    Attributes:
        episodes: their numbers, the worst first.
        mean_return: the mean of their returns.
        mean_step: the mean step at which they went wrong.
        low, high: (obs_dim,) the least and the greatest observation at these steps.
        unusual: (obs_dim,) the mean observation at these steps, in standard deviations from the
            mean over all episodes.
    """

    episodes: tuple[int, ...]
    mean_return: float
    mean_step: float
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    unusual: NDArray[np.float64]


def failure_step(trajectory: Trajectory, window: int) -> int:
    """The step at which an episode went wrong.

    It is the last one if the task ended the episode, else the beginning of the ``window`` steps
    with the lowest sum of rewards.
    """
    if trajectory.terminated:
        return trajectory.num_steps - 1
    sums = np.convolve(trajectory.rewards, np.ones(min(window, trajectory.num_steps)), "valid")
    return int(np.argmin(sums))


def cluster_failures(
    trajectories: list[Trajectory], worst: int, clusters: int, window: int
) -> list[Cluster]:
    """Cluster the worst episodes by the observation at their `failure_step`.

    K-means runs over the standardised observations.

    Args:
        trajectories: of one policy.
        worst: the number of episodes, by return, that count as failed at most; those with the
            highest return do not.
        clusters: the number of clusters at most.
        window: steps over which rewards are added to find the worst part of an episode.

    Returns:
        the clusters, the largest first.
    """
    returns = np.array([trajectory.episode_return for trajectory in trajectories])
    failed = np.argsort(returns, kind="stable")[: min(worst, int(np.sum(returns < returns.max())))]
    if not failed.size:
        return []

    steps = np.array([failure_step(trajectories[i], window) for i in failed])
    points = np.array(
        [trajectories[i].observations[step] for i, step in zip(failed, steps, strict=True)]
    )
    everything = np.concatenate([trajectory.observations for trajectory in trajectories])
    spread = everything.std(axis=0)
    scaled = (points - everything.mean(axis=0)) / np.where(spread > 0, spread, 1)
    assigned = k_means(scaled, clusters)

    found = []
    for cluster in np.unique(assigned):
        here = assigned == cluster
        found.append(
            Cluster(
                tuple(failed[here].tolist()),
                float(returns[failed[here]].mean()),
                float(steps[here].mean()),
                points[here].min(axis=0),
                points[here].max(axis=0),
                scaled[here].mean(axis=0),
            )
        )
    return sorted(found, key=lambda one: -len(one.episodes))


def k_means(points: NDArray[np.float64], clusters: int) -> NDArray[np.int64]:
    """The cluster of each point, (num_points,), by Lloyd's iterations.

    The first centers are points that are farthest from each other, so that nothing is drawn.
    """
    chosen = [0]
    while len(chosen) < min(clusters, len(points)):
        distances = ((points[:, None] - points[chosen]) ** 2).sum(axis=2).min(axis=1)
        if distances.max() == 0:
            break
        chosen.append(int(np.argmax(distances)))

    centers = points[chosen].copy()
    assigned = np.zeros(len(points), np.int64)
    for _ in range(_ITERATIONS):
        nearest = ((points[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1)
        for cluster in np.unique(nearest):
            centers[cluster] = points[nearest == cluster].mean(axis=0)
        if (nearest == assigned).all():
            break
        assigned = nearest
    return assigned


def report(clusters: list[Cluster], num_episodes: int, all_returns: NDArray[np.float64]) -> str:
    """The clusters as text, each with the beginning of a rule against it."""
    if not clusters:
        mean = all_returns.mean()
        return f"all {num_episodes} episodes have the same return, {mean:.4f}: none has failed"

    failed = sum(len(cluster.episodes) for cluster in clusters)
    lines = [
        f"the worst {failed} of {num_episodes} episodes; the mean return of all is "
        f"{all_returns.mean():.4f}"
    ]
    for number, cluster in enumerate(clusters, 1):
        lines += [
            "",
            f"failure {number}: {len(cluster.episodes)} episodes, mean return "
            f"{cluster.mean_return:.4f}, about step {cluster.mean_step:.0f}, for example episode "
            f"{cluster.episodes[0]}",
            f"  {'observation':<14}{'least':>12}{'most':>12}{'unusual':>12}",
        ]
        for index in np.argsort(-np.abs(cluster.unusual), kind="stable")[:6]:
            low, high = cluster.low[index], cluster.high[index]
            lines.append(f"  {index:<14}{low:>12.5g}{high:>12.5g}{cluster.unusual[index]:>+12.2f}")

        most = int(np.argmax(np.abs(cluster.unusual)))
        is_high = cluster.unusual[most] > 0
        side = f"> {cluster.low[most]:.4g}" if is_high else f"< {cluster.high[most]:.4g}"
        lines.append(
            f"  a rule could begin with: def when(observation): return observation[{most}] {side}"
        )
    return "\n".join(lines)


def as_json(clusters: list[Cluster]) -> list[dict[str, Any]]:
    """The clusters as JSON values."""
    return [
        {name: np.asarray(value).tolist() for name, value in vars(one).items()} for one in clusters
    ]
