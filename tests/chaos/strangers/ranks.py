"""What fails on one rank, outside of members, hangs no launch."""

from __future__ import annotations

from tests.chaos.strangers.place import ENV, POINT, Place, case, must

SEARCH = f"train {POINT} --ranks 2 --max-failed-fraction 1 --objective"


@case("a module that one worker cannot import ends the run with its rank and the cause")
def no_import(place: Place) -> None:
    result = place.run(f"{SEARCH} strange:leaving", STRANGE="no licence for copy 2")
    must(result.status in (1, 2), f"exit status {result.status}")
    must("no licence left" in result.err, "no cause")
    must("rank 2" in result.err, "no rank")


@case("other spaces on one worker end the run with a cause, without a traceback")
def other_spaces(place: Place) -> None:
    result = place.run(f"train {ENV} --env-id strange:Wider-v0 --ranks 2")
    must(result.status in (0, 1, 2), f"exit status {result.status}")
    must("observation" in place.text("RUN/failures.jsonl") + result.err, "no cause")


@case("an exception whose text cannot be had fails its member")
def unprintable(place: Place) -> None:
    place.well(f"{SEARCH} strange:unprintable")
    must("Unprintable" in place.text("RUN/failures.jsonl"), "no failure is recorded")


@case("KeyboardInterrupt of an objective fails members or ends the run, and hangs nothing")
def interrupting(place: Place) -> None:
    place.may_trace = True
    result = place.run(f"{SEARCH} strange:interrupting")
    must(result.status in (0, 1, 2, 75), f"exit status {result.status}")
    must("KeyboardInterrupt" in place.text("RUN/failures.jsonl") + result.err, "no cause")


@case("an exception of 30 MB of text fails its member, and the record stays small")
def wordy(place: Place) -> None:
    place.well(f"{SEARCH} strange:wordy")
    size = len(place.text("RUN/failures.jsonl"))
    must(0 < size < 1 << 20, f"failures.jsonl has {size} characters")
