"""What the start of many ranks asks of a shared file system: files opened and looked up by each
rank, and the wall time.

    python -m benchmarks.startup --ranks 2 8 32

Needs strace. Files count that lie in the Python environment, in the project and in the working
folder, as they would on a cluster's shared file system.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from esengine.launch.mpirun.local_ranks import environment_of_ranks, find_mpirun, options_of_mpirun

REPOSITORY = Path(__file__).resolve().parent.parent
RUN = (
    "train",
    "openai-es",
    "--env-id",
    "CartPole-v1",
    "--population-size",
    "64",
    "--generations",
    "1",
    "--final-episodes",
    "1",
)
_CALL = re.compile(
    r'\b(open|openat|stat|lstat|newfstatat|statx|access|faccessat2?|readlink)\(.*?"([^"]*)".* = '
    r"(-?\d+)"
)


def start(num_ranks: int, folder: Path, traced: bool) -> float:
    """Run one generation on so many ranks; returns the wall time in seconds. Traces lie in
    ``folder`` by rank.
    """
    mpirun = find_mpirun()
    wrapper = folder / "trace.sh"
    wrapper.write_text(
        f"exec strace --seccomp-bpf -f -qq -e trace=%file -o "
        f'"{folder}/trace.$OMPI_COMM_WORLD_RANK" "$@"\n'
        if traced
        else 'exec "$@"\n'
    )
    shutil.rmtree(folder / "run", ignore_errors=True)
    command = [
        mpirun,
        *options_of_mpirun(mpirun, num_ranks),
        "sh",
        str(wrapper),
        sys.executable,
        "-P",
        "-m",
        "esengine",
        *RUN,
    ]
    began = time.perf_counter()
    subprocess.run(
        [*command, "--quiet", "--run-dir", str(folder / "run")],
        env=environment_of_ranks(),
        cwd=folder,
        check=True,
        timeout=280,
    )
    return time.perf_counter() - began


def count(trace: Path, shared: tuple[str, ...]) -> tuple[int, int]:
    """Files that a rank opened, and names that it looked up or did not find, below the ``shared``
    folders.
    """
    opened = looked_up = 0
    for call, path, result in _CALL.findall(trace.read_text(errors="replace")):
        if path.startswith(shared):
            found = call.startswith("open") and int(result) >= 0
            opened, looked_up = opened + found, looked_up + (not found)
    return opened, looked_up


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--ranks",
        type=int,
        nargs="+",
        default=[2, 8, 32],
        help="Ranks of a start, the master included.",
    )
    arguments = parser.parse_args()
    if shutil.which("strace") is None:
        sys.exit("strace must be installed; apt-get install strace")
    print(
        "| ranks | seconds to one generation | opened by the master | by a worker | looked up by "
        "the master | by a worker |"
    )
    print("|---|---|---|---|---|---|")
    for num_ranks in arguments.ranks:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            shared = (str(REPOSITORY), os.path.abspath(sys.prefix), sys.base_prefix, str(folder))
            start(num_ranks, folder, traced=False)  # compiles, if nobody has
            seconds = start(num_ranks, folder, traced=False)
            start(num_ranks, folder, traced=True)
            calls = [count(folder / f"trace.{rank}", shared) for rank in range(num_ranks)]
        opened, looked_up = ([pair[part] for pair in calls] for part in (0, 1))
        figures = (
            num_ranks,
            f"{seconds:.1f}",
            opened[0],
            median(opened[1:]),
            looked_up[0],
            median(looked_up[1:]),
        )
        print(
            "| "
            + " | ".join(
                f"{value:,g}" if isinstance(value, float) else str(value) for value in figures
            )
            + " |",
            flush=True,
        )


if __name__ == "__main__":
    main()
