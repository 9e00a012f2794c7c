"""Where demonstrations and policies of Pendulum-v1 go: a panel for each, angle and speed of every
step, coloured by time.

Run from the repository's root: python examples/paths.py demos.npz runs/cloned runs/dagger paths.png
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import esengine


def recorded(source: Path, episodes: int) -> esengine.Demonstrations:
    """The episodes of a file of demonstrations, or some of a run's policy."""
    if source.suffix == ".npz":
        return esengine.load_demonstrations([str(source)])
    return esengine.collect(policy=source, episodes=episodes)


def main(sources: list[Path], picture: Path, episodes: int = 10) -> list[float]:
    """Draw the picture; returns the mean return of each source."""
    figure = Figure(figsize=(3.6 * len(sources) + 0.8, 3.8), layout="constrained")
    panels, returns = (
        figure.subplots(1, len(sources), sharex=True, sharey=True, squeeze=False)[0],
        [],
    )
    for panel, source in zip(panels, sources, strict=True):
        demonstrations = recorded(source, episodes)
        cosine, sine, speed = np.concatenate(
            [one.observations for one in demonstrations.trajectories]
        ).T
        times = np.concatenate(
            [np.arange(len(one.observations)) for one in demonstrations.trajectories]
        )
        points = panel.scatter(
            np.arctan2(sine, cosine),
            speed,
            c=times,
            s=4,
            cmap="viridis",
            vmin=0,
            vmax=200,
            rasterized=True,
        )
        returns.append(float(demonstrations.returns.mean()))
        panel.set_title(f"{source.name}, mean return {returns[-1]:.0f}", fontsize=11)
        panel.set_xticks([-np.pi, 0, np.pi], ["hanging", "upright", "hanging"])
        panel.grid(alpha=0.25)
    panels[0].set_ylabel("speed")
    figure.colorbar(points, ax=panels, label="step", aspect=30)
    figure.savefig(picture, dpi=100)
    return returns


if __name__ == "__main__":
    *names, out = map(Path, sys.argv[1:])
    main(names, out)
