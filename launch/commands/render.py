"""``esengine render RUN --out FILE``: a film of a policy."""

from __future__ import annotations

from esengine.launch.results.rendering import RenderSettings, render
from esengine.launch.settings.flags import parse_with_argument
from esengine.ranks.signals import StopRequest


def command(argv: list[str], stop: StopRequest) -> int:
    """Write the film; returns the exit status. Raises UserError for a policy that cannot be
    filmed.
    """
    about = "A run directory or a policy file."
    policy, settings = parse_with_argument(RenderSettings, argv, "esengine render", "policy", about)
    film = render(policy, settings)
    for number, (episode, was_cut) in enumerate(zip(film.episodes, film.cut, strict=True)):
        length = (
            f"its first {episode.num_steps} steps, where --seconds cut it"
            if was_cut
            else f"{episode.num_steps} steps"
        )
        print(f"episode {number}: return {episode.episode_return:.2f} in {length}")
    print(f"{len(film.frames)} frames in {settings.out}")
    return 0
