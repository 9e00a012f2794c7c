"""``esengine rewards A B ... --demonstrations FILE``: compare learned rewards."""

from __future__ import annotations

from pathlib import Path

from esengine.launch.results.reward_distance import RewardsSettings, distances
from esengine.launch.settings.flags import parse_with_argument
from esengine.ranks import StopRequest


def command(argv: list[str], stop: StopRequest) -> int:
    """Print the distance of every pair; returns the exit status. Raises UserError for rewards that
    cannot be compared.
    """
    about = "Reward files, or run directories that have one."
    paths, settings = parse_with_argument(
        RewardsSettings, argv, "esengine rewards", "rewards", about, of=tuple[Path, ...]
    )
    for first, second, distance in distances(paths, settings):
        print(f"{distance:.4f}  {first}  {second}")
    return 0
