"""What is disturbed: commands that write, each in a folder with what it needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.support.imitation import LEAN
from tests.support.runs import same_run
from tests.support.words import words

Words = tuple[str, ...]

_SEARCH = words("train cma-es --dimension 3 --minimize --population-size 8 --ranks 1 --quiet")
_SPHERE = (*_SEARCH, *words("--objective worlds:sphere --run-dir run --generations"))
_FAILING = words("--objective worlds:failing --max-failed-fraction 1 --generations 3 --run-dir run")
_EPISODES = words("--population-size 4 --final-episodes 2 --eval-episodes 2 --ranks 1 --quiet")
_POLICY = (*words("train openai-es --env-id CartPole-v1 --generations 1 --run-dir run"), *_EPISODES)
_RESUME = words("resume run --trust-modules --ranks 1 --quiet")


@dataclass(frozen=True)
class Scenario:
    """A command that writes.

    Attributes:
        before: commands that make what it needs.
        command: what is disturbed.
        out: the file that it writes, or None for a run.
    """

    before: tuple[Words, ...]
    command: Words
    out: str | None = None

    def go_on(self, folder: Path) -> Words:
        """What a user types next."""
        begins = self.out is None and not self.before
        has_begun = (folder / "run" / "config.json").exists()
        return _RESUME if begins and has_begun else self.command

    def check(self, reference: Path, folder: Path) -> None:
        """Fails unless two folders hold the same result."""
        if self.out is None:
            same_run(reference / "run", folder / "run")
            return
        made, expected = folder / self.out, reference / self.out
        assert made.stat().st_size > 0
        if made.suffix != ".html":  # a page names its folder
            assert made.read_bytes() == expected.read_bytes()


SCENARIOS: dict[str, Scenario] = {
    "a search": Scenario((), (*_SPHERE, *words("2 --checkpoint-every 1"))),
    "a search with members that fail": Scenario((), (*_SEARCH, *_FAILING)),
    "a resume": Scenario(((*_SPHERE, "1"),), (*_RESUME, *words("--generations 3"))),
    "dagger": Scenario(
        (), ("train", "dagger", *LEAN, *words("--generations 2 --ranks 1 --run-dir run"))
    ),
    "collect": Scenario(
        (),
        words(
            "collect --expert teachers:lean --env-id CartPole-v1 --episodes 2 --ranks 1 --out out.npz"
        ),
        "out.npz",
    ),
    "report": Scenario((_POLICY,), words("report run --no-film --out out.html"), "out.html"),
    "export": Scenario(
        (_POLICY,), words("export run --format torch --out out.safetensors"), "out.safetensors"
    ),
}
