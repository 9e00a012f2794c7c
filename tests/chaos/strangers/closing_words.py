"""Pictures, locales and lost readers fail no run."""

from __future__ import annotations

import json
import os

from tests.chaos.strangers.place import ENV, POINT, Place, case, must
from tests.chaos.strangers.resumes import PLAIN

NO_UTF8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
WORDS = """
def cost(x):
    if x[0] > 0:
        raise ValueError("Größe \\u2192 \\u221e \\udcff")
    return float((x**2).sum())
"""


@case("a matplotlib that cannot be imported fails no run")
def broken_matplotlib(place: Place) -> None:
    place.write("broken/matplotlib/__init__.py", "raise AttributeError('_ARRAY_API not found')\n")
    path = os.pathsep.join([str(place.folder / "broken"), place.variables()["PYTHONPATH"]])
    place.well(f"train {ENV} --env-id CartPole-v1 --ranks 1", PYTHONPATH=path)
    place.json("RUN/done.json")


@case("an error in words that the locale cannot write is recorded, and replay shows it")
def words_beyond_locale(place: Place) -> None:
    place.write("worte.py", WORDS)
    search = f"train {POINT} --objective worte:cost --max-failed-fraction 1 --ranks 1"
    place.well(search, **NO_UTF8)
    failed = json.loads(place.text("RUN/failures.jsonl").splitlines()[0])
    must("Gr" in failed["error"], "the error is not recorded")

    place.may_trace = True  # that of the objective
    where = f"--generation {failed['generation']} --member {failed['member']}"
    result = place.run(f"replay RUN {where} --trust-modules", **NO_UTF8)
    must("UnicodeEncodeError" not in result.text, "it cannot be printed")
    must("ValueError" in result.text, "the exception is not shown")
    place.may_trace = False
    place.well("report RUN --out page.html", **NO_UTF8)


@case("a run whose output nobody reads any more stops in order, and can be resumed")
def reader_leaves(place: Place) -> None:
    place.write("plain.py", PLAIN)
    process = place.start(f"train {POINT} --objective plain:cost --generations 40 --ranks 1")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    result = place.finish(process)
    must(result.status in (0, 75), f"exit status {result.status}")
    place.well("resume RUN --generations 41 --trust-modules --ranks 1")
    place.json("RUN/done.json")
