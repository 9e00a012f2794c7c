"""``python benchmarks/peers/run.py``: measures the engine and other packages in turns, and writes
``benchmarks/RESULTS.md``.

Environments of the other packages are built from ``requirements/`` when they are first needed. A
package that cannot be installed or measured is a row that says why.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # this file is run as a script

from benchmarks.peers.cases import PEERS, all_cases, chosen
from benchmarks.peers.environments import ROOT, Environments
from benchmarks.peers.report import Row, Run, machine, measure_case, render


def main(arguments: list[str]) -> int:
    """Measure, write the page and the raw figures; returns 0, also when some package could not be
    measured.
    """
    parser = argparse.ArgumentParser(
        prog="benchmarks/peers/run.py", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=PEERS,
        default=[],
        metavar="NAME",
        help=f"packages: {', '.join(PEERS)}",
    )
    parser.add_argument("--repeats", type=int, default=5, help="processes that measure each figure")
    parser.add_argument(
        "--output",
        type=Path,
        default=ROOT / "benchmarks",
        help="folder of RESULTS.md and results.json",
    )
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}; use 5")
    date, loads = datetime.datetime.now(datetime.UTC).date().isoformat(), list[float]()
    environments, cases, rows = Environments(), chosen(all_cases(), options.only), list[Row]()
    for number, case in enumerate(cases, 1):
        print(f"{number}/{len(cases)} {case.section}: {case.name}", file=sys.stderr)
        loads.append(os.getloadavg()[0])
        rows += measure_case(case, options.repeats, environments.measure)
    loads.append(os.getloadavg()[0])
    only = ["--only", *options.only] if options.only else []
    command = shlex.join(
        ["python", "benchmarks/peers/run.py", *only, "--repeats", str(options.repeats)]
    )
    page = render(rows, Run(command, date, options.repeats, (min(loads), max(loads))), machine())
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "RESULTS.md").write_text(page)
    raw = {
        "command": command,
        "date": date,
        "loads": loads,
        "machine": machine(),
        "rows": [row.as_json() for row in rows],
    }
    (options.output / "results.json").write_text(json.dumps(raw, indent=1) + "\n")
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
