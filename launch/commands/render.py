"""``esengine render RUN --out FILE``: a film of a policy."""

from __future__ import annotations

from esengine.interrupts import StopRequest
from esengine.launch.commands.parsing import parse_with_argument
from esengine.launch.rendering import RenderSettings, render


def command(argv: list[str], stop: StopRequest) -> int:
    """Write the film; returns the exit status. Raises UserError for a policy that cannot be filmed."""
    about = "A run directory or a policy file."
    policy, settings = parse_with_argument(RenderSettings, argv, "esengine render", "policy", about)
    film = render(policy, settings)
    for number, episode in enumerate(film.episodes):
        print(f"episode {number}: return {episode.episode_return:.2f} in {episode.num_steps} steps")
    print(f"{len(film.frames)} frames in {settings.out}")
    return 0
