"""How alike episodes are to demonstrations."""

from __future__ import annotations

import numpy as np
import pytest

from esengine.environments import ActionSpec
from esengine.rewards.likeness import Likeness
from esengine.rewards.sampling import Steps
from esengine.simulators.traces import Trace

HORIZON = 40
FORCE = ActionSpec("box", (1,), (-1.0,), (1.0,), (1,))


def episode(length: int, shift: float = 0.0, force: float = 0.5, terminated: bool = True) -> Trace:
    """An episode along a line, a twentieth of the way in each step."""
    seen = (np.arange(length + 1)[:, None] / 20 + shift).astype(np.float32)
    done = force + 0.1 * np.cos(np.arange(length))[:, None]
    return Trace(seen, done, np.ones(length), float(length), terminated)


def test_an_episode_is_most_alike_to_itself_whatever_its_return() -> None:
    demonstrated = Steps.rows(episode(20), np.arange(20), HORIZON)
    likeness = Likeness(Steps.of_rows(demonstrated, 1), FORCE)
    own = likeness.of(episode(20))
    assert own == pytest.approx(0, abs=1e-6)

    others = {
        "elsewhere": episode(20, shift=0.5),
        "other actions": episode(20, force=-0.5),
        "ends early": episode(5),
        "goes on": episode(HORIZON),
        "does not end": episode(20, terminated=False),
    }
    for name, other in others.items():
        assert likeness.of(other) < own - 1e-3, name
