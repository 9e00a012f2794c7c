"""``python -m tests.fuzz.guided --seconds 120``: the fuzzers of `test_readers`, led by what their
bytes reach.

libFuzzer, through atheris, mutates the bytes that Hypothesis makes its choices from, and keeps
those that took a new branch of a reader. Each fuzzer runs in a process of its own, which libFuzzer
ends.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, STDOUT
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from esengine.launch.runs import json_lines, rows, run_directory, run_lock
from esengine.launch.settings import config, parse_train, settings_values
from esengine.launch.training import restoring
from esengine.policies import policy_file
from esengine.storage import checkpoint, files
from tests.fuzz import test_readers
from tests.support.words import words

FUZZERS = {
    name.removeprefix("test_"): fuzzer
    for name, fuzzer in vars(test_readers).items()
    if name.startswith("test_") and hasattr(fuzzer, "hypothesis")
}
READERS = (
    checkpoint,
    files,
    policy_file,
    config,
    json_lines,
    rows,
    parse_train,
    restoring,
    run_directory,
    run_lock,
    settings_values,
)


def main(arguments: list[str]) -> int:
    """Run the fuzzers one after the other; returns 1 if one found something, which is shown with
    the bytes that led there.
    """
    parser = argparse.ArgumentParser(
        prog="tests.fuzz.guided", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("--seconds", type=int, default=120, help="of each fuzzer")
    parser.add_argument("--only", choices=FUZZERS, help="a fuzzer")
    parser.add_argument("--here", action="store_true", help="in this process, which libFuzzer ends")
    options = parser.parse_args(arguments)
    if options.here:
        fuzz(options.only, options.seconds)
    names = [options.only] if options.only else list(FUZZERS)
    return int(any([run(name, options.seconds) for name in names]))


def run(name: str, seconds: int) -> int:
    """A fuzzer in a process of its own, whose files go with it; returns its exit status."""
    with tempfile.TemporaryDirectory(prefix="esengine-guided-") as folder:
        command = [
            sys.executable,
            *words("-m tests.fuzz.guided --here --only"),
            name,
            "--seconds",
            str(seconds),
        ]
        environment = os.environ | {"TMPDIR": folder}
        result = subprocess.run(
            command, env=environment, stdout=PIPE, stderr=STDOUT, text=True, check=False
        )
    lines = result.stdout.splitlines()
    summary = [line for line in lines if "DONE" in line] if result.returncode == 0 else lines[-40:]
    print(f"{name}: {chr(10).join(summary)}", flush=True)
    return result.returncode


def fuzz(name: str, seconds: int) -> None:
    """Never returns: libFuzzer ends the process, with 0 after ``seconds`` in which nothing was
    found.
    """
    import atheris

    for module in READERS:
        for function in functions(module):
            atheris.instrument_func(function)
    fuzzer: Any = FUZZERS[name]
    corpus = Path(tempfile.mkdtemp())
    for seed in range(16):  # long enough for the choices that an example needs
        (corpus / str(seed)).write_bytes(np.random.default_rng(seed).bytes(1024))
    limits = [
        f"-max_total_time={seconds}",
        "-max_len=8192",
        "-timeout=60",
        f"-artifact_prefix={corpus}/",
    ]
    atheris.Setup([name, *limits, str(corpus)], fuzzer.hypothesis.fuzz_one_input)
    atheris.Fuzz()


def functions(module: ModuleType) -> Iterator[FunctionType]:
    """Functions and methods that a module defines."""
    for owner in (module, *(one for one in vars(module).values() if isinstance(one, type))):
        for one in vars(owner).values():
            plain = getattr(one, "__func__", getattr(one, "fget", one))
            if isinstance(plain, FunctionType) and plain.__module__ == module.__name__:
                yield plain


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
