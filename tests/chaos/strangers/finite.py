"""Numbers that are not finite get nowhere."""

from __future__ import annotations

import json
import math

import numpy as np

from tests.chaos.strangers.containment import BEHAVIOUR
from tests.chaos.strangers.place import ENV, POINT, TRUST, Place, case, must

TOLERANT = "--max-failed-fraction 1"


@case("collect keeps whole episodes alone, and its file is read")
def infinite_recorded(place: Place) -> None:
    collect = "collect --expert strange:zero --env-id strange:Infinite-v0 --episodes 6"
    place.well(f"{collect} --out demos.npz --ranks 1")
    with np.load(place.folder / "demos.npz") as arrays:
        must(np.isfinite(arrays["observations"]).all(), "an observation is not finite")
    clone = "train behavior-cloning --demonstrations demos.npz --generations 2 --final-episodes 2"
    place.well(f"{clone} --run-dir RUN {TRUST}")


@case("a behaviour that is not a number fails its member")
def nan_behaviour(place: Place) -> None:
    place.well(f"{BEHAVIOUR} --behavior strange:nan_behaviour {TOLERANT}")
    must(place.text("RUN/failures.jsonl"), "no failure is recorded")
    place.well(f"resume RUN --generations 3 {TRUST}")


@case("1e300 in a dictionary of float64 fails its member")
def beyond_float32(place: Place) -> None:
    place.well(f"train {ENV} --env-id strange:BeyondFloat32-v0 {TOLERANT} --ranks 1")
    must("finite" in place.text("RUN/failures.jsonl"), "no failure is recorded")
    result = place.run(f"evaluate RUN --episodes 4 {TRUST}")
    must("policy" not in result.err, "the policy cannot be read")


@case("ppo continues with the other episodes after rewards that are not numbers")
def nan_rewards(place: Place) -> None:
    search = "train ppo --env-id strange:NanReward-v0 --steps-per-round 100 --epochs 1"
    budget = "--generations 2 --final-episodes 2 --eval-every 0 --ranks 1 --run-dir RUN"
    place.well(f"{search} {budget}")
    must("finite" in place.text("RUN/failures.jsonl"), "no failure is recorded")


@case("what is written of observations of 1e37 can be read again")
def great_observations(place: Place) -> None:
    place.well(f"train {ENV} --env-id strange:Great-v0 --ranks 1")
    place.well(f"evaluate RUN --episodes 2 {TRUST}")
    place.well(f"resume RUN --generations 3 {TRUST}")


@case("a cost of minus infinity is a failed member, and no best value")
def minus_infinity(place: Place) -> None:
    search = f"train {POINT} --objective strange:minus_infinity --sigma 2 {TOLERANT}"
    place.well(f"{search} --ranks 1")
    lines = place.text("RUN/metrics.jsonl").splitlines()
    must(any(json.loads(line)["failed_members"] for line in lines), "no member failed")
    must(math.isfinite(place.json("RUN/best.json")["value"]), "the best value is infinite")
