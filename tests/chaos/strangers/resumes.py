"""A resumed run knows whether its code has changed."""

from __future__ import annotations

import os

from tests.chaos.strangers.place import ENV, POINT, TRUST, Place, case, must

RESUME = f"resume RUN --generations 3 {TRUST}"
EXPERT = """
import numpy as np

def act(observation):
    return np.array([{push}], np.float32)
"""
FAR = """
from strange import World

class Far(World):
    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, reward + {bonus}, *rest
"""
CATALOGUE = """
import gymnasium

gymnasium.register("Far-v0", "far_away.inner:Far")
"""
PLAIN = """
def cost(x):
    return float((x**2).sum())
"""


@case("an edited expert of dagger is named")
def edited_expert(place: Place) -> None:
    place.write("teacher.py", EXPERT.format(push=0.5))
    rounds = "--episodes-per-round 2 --epochs-per-round 1 --gradient-steps 10 --generations 2"
    place.well(
        f"train dagger --env-id strange:World-v0 --expert teacher:act {rounds} --hidden-sizes 4 "
        f"--validation-episodes 2 --final-episodes 2 --ranks 1 --run-dir RUN"
    )
    place.write("teacher.py", EXPERT.format(push=-0.5))
    result = place.well(RESUME)
    must("teacher" in result.err and "changed" in result.err, "no sentence")


@case("an edited class that its registration names in another module is noticed")
def class_elsewhere(place: Place) -> None:
    place.write("catalogue.py", CATALOGUE)
    place.write("far_away/__init__.py", "")
    place.write("far_away/inner.py", FAR.format(bonus=0.0))
    place.well(f"train {ENV} --env-id catalogue:Far-v0 --ranks 1")
    place.write("far_away/inner.py", FAR.format(bonus=100.0))
    result = place.well(RESUME)
    must("far_away.inner" in result.err, "no sentence")
    must(place.json("RUN/done.json")["best_fitness"] > 500, "the best value is of the old code")


@case("a file that was only touched, and another beside it, are no change")
def only_touched(place: Place) -> None:
    place.write("plain.py", PLAIN)
    place.well(f"train {POINT} --objective plain:cost --ranks 1")
    value = place.json("RUN/best.json")["value"]
    os.utime(place.folder / "plain.py", (1, 1))
    place.write("other.py", "raise RuntimeError\n")
    result = place.well(RESUME)
    must(not result.err, "something on standard error")
    must(place.json("RUN/best.json")["value"] <= value, "the best value was lost")


@case("wider bounds of actions, which no file tells, are noticed")
def wider_actions(place: Place) -> None:
    place.well(f"train {ENV} --env-id strange:Bounds-v0 --ranks 1")
    result = place.run(RESUME, STRANGE="wider actions")
    must(result.status in (0, 2), f"exit status {result.status}")
    must("within -2 .. 2" in result.err or "changed" in result.err, "no sentence")
