"""``esengine render RUN --out FILE``: film a policy."""

from __future__ import annotations

from esengine.launch.results.rendering import RenderSettings, render
from esengine.launch.settings.flags import parse_with_argument
from esengine.ranks import StopRequest


def command(argv: list[str], stop: StopRequest) -> int:
    """Write the film; returns the exit status. Raises UserError for a policy that cannot be
    filmed.
    """
    about = "A run directory or a policy file."
    policy, settings = parse_with_argument(RenderSettings, argv, "esengine render", "policy", about)
    film = render(policy, settings)
    for number, (episode, was_cut) in enumerate(zip(film.episodes, film.cut, strict=True)):
        length = f"{episode.num_steps} steps"
        if was_cut:
            length = f"its first {length}, where --seconds cut it"
        print(f"episode {number}: return {episode.episode_return:.2f} in {length}")
    print(f"{len(film.frames)} frames in {settings.out}")
    return 0
