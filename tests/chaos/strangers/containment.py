"""User code is contained, and what it opens is closed."""

from __future__ import annotations

import signal
import time

from tests.chaos.strangers.place import ENV, POINT, TRUST, Place, case, must

BEHAVIOUR = (
    "train cma-es --population-size 8 --generations 2 --final-episodes 2 --eval-every 0 "
    "--hidden-sizes 4 --env-id strange:World-v0 --novelty ns --ranks 1 --run-dir RUN"
)


@case("numpy.seterr(all='raise') of a module changes no byte")
def numpy_raises(place: Place) -> None:
    place.same_with(f"train {ENV} --env-id strange:Tiny-v0 --ranks 1", STRANGE="numpy raises")


@case("a module that turns warnings into errors ends no run, and the remark is recorded")
def warnings_raise(place: Place) -> None:
    search = f"train {ENV} --env-id strange:Long-v0 --generations 1 --ranks 1"
    place.well(search, STRANGE="warnings raise")
    must(place.json("RUN/config.json").get("remarks"), "no remark in config.json")
    place.json("RUN/done.json")


@case("Ctrl-C ends a run whose environment catches everything, and all is closed")
def catches_everything(place: Place) -> None:
    search = f"train {ENV} --env-id strange:Catching-v0 --generations 9999 --ranks 1"
    process = place.start(search)
    place.wait_for("RUN/config.json")
    time.sleep(5)
    process.send_signal(signal.SIGINT)
    result = place.finish(process, 30)
    must(result.status == 75, f"exit status {result.status} instead of 75")
    place.all_closed()


@case("every command that opens environments closes them")
def every_command(place: Place) -> None:
    place.well(f"train {ENV} --env-id strange:Noted-v0 --ranks 1")
    for command in (
        "evaluate RUN --episodes 2 --ranks 1",
        "collect --policy RUN --episodes 2 --out demos.npz --ranks 1",
        "replay RUN --generation 2 --member 1",
        "failures RUN --episodes 4 --worst 2 --ranks 1",
        "render RUN --out film.gif --seconds 0.3",
        "report RUN --out page.html --seconds 0.3",
    ):
        place.well(f"{command} --trust-modules")
        place.all_closed()


@case("a thread that only close() ends keeps no process alive")
def thread(place: Place) -> None:
    place.well(f"train {ENV} --env-id strange:Threaded-v0 --ranks 1")
    place.well(f"evaluate RUN --episodes 2 {TRUST}")


@case("a behaviour that is one array again and again is copied")
def one_behaviour(place: Place) -> None:
    place.same_with(f"{BEHAVIOUR} --behavior strange:one_behaviour", STRANGE="copies")


@case("user code that seeds the generators of all changes no byte")
def reseeds(place: Place) -> None:
    place.same_with(f"train {ENV} --env-id strange:Reseeding-v0 --ranks 1", STRANGE="reseeds")


@case("a process that an objective leaves, with all pipes, keeps no launch from ending")
def leaves_process(place: Place) -> None:
    place.well(f"train {POINT} --objective strange:leaving --ranks 2")
    must(place.left(), "nothing was left, so nothing was tried")
    place.end_left()


@case("standard output that user code leaves closed ends no run")
def closed_output(place: Place) -> None:
    place.well(f"train {POINT} --objective strange:closed_output --ranks 1")
    place.json("RUN/done.json")
    place.json("RUN/best.json")
