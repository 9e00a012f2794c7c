"""Compiled rollouts are taken only where they are equal."""

from __future__ import annotations

import math
import shutil

from tests.chaos.strangers.place import ENV, Place, case, must


def equal(place: Place, environment: str, **variables: str) -> None:
    """Compare a run with one that gymnasium steps. Classic control agrees within rounding."""
    search = f"train {ENV} --generations 3 --ranks 1 {environment}"
    place.well(search, **variables)
    policy = place.policy()
    done = place.json("RUN/done.json")
    shutil.rmtree(place.folder / "RUN")

    place.well(f"{search} --env-backend gymnasium", **variables)
    must(place.policy() == policy, "another policy than with --env-backend gymnasium")
    other = place.json("RUN/done.json")
    for key in ("best_fitness", "final_return"):
        must(math.isclose(done[key], other[key], rel_tol=1e-9), f"another {key}")


@case("the other equations of Acrobot, set on its class, are computed")
def other_acrobot(place: Place) -> None:
    equal(place, "--env-id strange:Acrobot-v1", STRANGE="another acrobot")


@case("the wrapper of a factory counts")
def half_reward(place: Place) -> None:
    equal(place, "--env-id strange:HalfReward-v0")


@case("an argument of CartPole counts")
def other_reward(place: Place) -> None:
    equal(place, "--env-id CartPole-v1 --env-arg sutton_barto_reward=True")


@case("another gravity in a MuJoCo model counts")
def light_model(place: Place) -> None:
    equal(place, "--env-id strange:Light-v0")


@case("a limit of steps that is set on the wrapper counts")
def short_limit(place: Place) -> None:
    equal(place, "--env-id strange:Short-v0")


@case("an action space that is set on the wrapper counts")
def weak_actions(place: Place) -> None:
    equal(place, "--env-id strange:Weak-v0")
