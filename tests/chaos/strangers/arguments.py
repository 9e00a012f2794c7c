"""Arguments of environments keep their structure."""

from __future__ import annotations

import math

from tests.chaos.strangers.place import ENV, TRUST, Place, case, must

SEARCH = f"train {ENV} --ranks 1 --env-id strange:Told-v0 --env-arg"


def told_only(place: Place, **arguments: object) -> None:
    """Raises Wrong unless every environment of `strange.Told` had these arguments."""
    told = set(place.text("told.txt").splitlines())
    must(told == {repr(sorted(arguments.items()))}, f"got {told}")


@case("nested values are the same in train, resume, evaluate and collect")
def nested(place: Place) -> None:
    place.well(f"{SEARCH} layout={{'a':[1,2,{{'b':None}}],'c':(1,2.5),'d':True}}")
    place.well(f"evaluate RUN --episodes 1 {TRUST}")
    place.well(f"resume RUN --generations 3 {TRUST}")
    place.well(f"collect --policy RUN --episodes 1 {TRUST}")
    told_only(place, layout={"a": [1, 2, {"b": None}], "c": [1, 2.5], "d": True})


@case("a text of digits stays a text through demonstrations and a clone")
def texts_of_digits(place: Place) -> None:
    expert = "collect --expert strange:zero --env-id strange:Told-v0 --episodes 2 --ranks 1"
    place.well(f"{expert} --env-arg version=\"1\" word='None' --out demos.npz")
    clone = "train behavior-cloning --demonstrations demos.npz --generations 1 --final-episodes 1"
    place.well(f"{clone} --run-dir RUN {TRUST}")
    place.well(f"evaluate RUN --episodes 1 {TRUST}")
    told_only(place, version="1", word="None")


@case("an open list, TRUE, a set, NaN and bytes are refused")
def no_values(place: Place) -> None:
    for text in ("x=[1,2", "x=TRUE", "x={1,2}", "x=nan", "x=b'1'"):
        place.refused(f"{SEARCH} {text}", "--env-arg")


@case("infinite, tiny and huge numbers come back as they were")
def unusual_numbers(place: Place) -> None:
    huge = 12345678901234567890123
    place.well(f"{SEARCH} low=-inf high=(0.8,inf) huge={huge} tiny=1e-310 zero=-0.0")
    place.well(f"evaluate RUN --episodes 1 {TRUST}")
    place.well(f"resume RUN --generations 3 {TRUST}")
    told_only(place, low=-math.inf, high=[0.8, math.inf], huge=huge, tiny=1e-310, zero=-0.0)
