"""How a policy fails: its worst episodes, clustered by where they went wrong, so that a person can
write the next rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.demonstrations.trajectories import Trajectory

_ITERATIONS = 100


@dataclass(frozen=True)
class Cluster:
    """Episodes that failed alike.

    Attributes:
        episodes: their numbers, the worst first.
        mean_return: over them.
        mean_step: at which they went wrong.
        low, high: (obs_dim,) what was observed there.
        unusual: (obs_dim,) how many standard deviations of all episodes' observations their mean
            there is off.
    """

    episodes: tuple[int, ...]
    mean_return: float
    mean_step: float
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    unusual: NDArray[np.float64]


def failure_step(trajectory: Trajectory, window: int) -> int:
    """The step at which an episode went wrong: its last one if the task ended it, else where it
    lost most in a window.
    """
    if trajectory.terminated:
        return trajectory.num_steps - 1
    width = min(window, trajectory.num_steps)
    sums = np.convolve(trajectory.rewards, np.ones(width), "valid")
    return int(np.argmin(sums))


def cluster_failures(
    trajectories: list[Trajectory], worst: int, clusters: int, window: int
) -> list[Cluster]:
    """Cluster the worst episodes by k-means over the standardised observations at their
    `failure_step`, largest first.

    Starts are those farthest from each other, so that there is nothing to draw.

    Args:
        trajectories: of one policy.
        worst: how many of them, by return, have failed at most; one with the highest return of all
            has not.
        clusters: at most so many.
        window: steps over which rewards are added to find the worst part of an episode.
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
    center, spread = everything.mean(axis=0), everything.std(axis=0)
    scaled = (points - center) / np.where(spread > 0, spread, 1)
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
    """The cluster of each point, (num_points,), by Lloyd's iterations from starts that are farthest
    from each other.
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
    """The clusters for a person, with a rule to begin with for each."""
    if not clusters:
        return (
            f"all {num_episodes} episodes have the same return, {all_returns.mean():.4f}: none "
            f"has failed"
        )
    failed = sum(len(cluster.episodes) for cluster in clusters)
    lines = [
        f"the worst {failed} of {num_episodes} episodes; the mean return of all is "
        f"{all_returns.mean():.4f}"
    ]
    for number, cluster in enumerate(clusters, 1):
        lines += [
            "",
            f"failure {number}: {len(cluster.episodes)} episodes, mean return "
            f"{cluster.mean_return:.4f}, "
            f"about step {cluster.mean_step:.0f}, for example episode {cluster.episodes[0]}",
            f"  {'observation':<14}{'least':>12}{'most':>12}{'unusual':>12}",
        ]
        for index in np.argsort(-np.abs(cluster.unusual), kind="stable")[:6]:
            low, high = cluster.low[index], cluster.high[index]
            lines.append(f"  {index:<14}{low:>12.5g}{high:>12.5g}{cluster.unusual[index]:>+12.2f}")
        most = int(np.argmax(np.abs(cluster.unusual)))
        side = (
            f"> {cluster.low[most]:.4g}"
            if cluster.unusual[most] > 0
            else f"< {cluster.high[most]:.4g}"
        )
        lines.append(
            f"  a rule could begin with: def when(observation): return observation[{most}] {side}"
        )
    return "\n".join(lines)


def as_json(clusters: list[Cluster]) -> list[dict[str, Any]]:
    """The clusters as JSON values."""
    names = ("low", "high", "unusual")
    return [
        {"episodes": list(one.episodes), "mean_return": one.mean_return, "mean_step": one.mean_step}
        | {name: getattr(one, name).tolist() for name in names}
        for one in clusters
    ]
