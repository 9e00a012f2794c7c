"""The process ``esengine``: it runs a command, turns exceptions into a message and an exit status,
and leaves MPI.
"""

from __future__ import annotations

import errno
import io
import logging
import shutil
import sys
import textwrap
import traceback
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

from esengine import __version__
from esengine.checks import one_of
from esengine.errors import (
    ANY_TEXT,
    CallbackRaised,
    Interrupted,
    RanksFailed,
    UserError,
    WorkerError,
    listed,
    put,
    shown,
)
from esengine.launch.command_table import COMMANDS, load_command
from esengine.launch.mpirun.caller import adopt_objects_of_caller, leave_message
from esengine.launch.mpirun.local_ranks import launched_by_us, leave_status
from esengine.launch.settings.methods import METHODS, train_usage
from esengine.launch.settings.stand_ins import use_stand_ins
from esengine.launch.terminal.output import OutputRefused, output_to, refuse
from esengine.ranks import StopRequest, World
from esengine.ranks.signals import Abandoned
from esengine.ranks.world import prepare_rank
from esengine.user_code import environments_closed

_REFUSALS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.EIO, errno.ESTALE, errno.ENOLCK, errno.EMFILE, errno.ENFILE, errno.EISDIR),
}
"""Errors of files that are no fault of the program."""
_HELP = {"-h", "--help", "--help-all"}
_CLOSING = (
    "esengine COMMAND --help lists the flags. Under mpirun or srun train uses the ranks that were "
    "launched; otherwise it starts local ones."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 failed, 2 bad input, 75 stopped with a
    checkpoint.
    """
    argv = list(sys.argv[1:] if arguments is None else arguments)
    in_order = bool(argv) and argv[0] in COMMANDS and COMMANDS[argv[0]].stops_in_order
    stop = StopRequest().install()

    try:
        with output_to(stop.on_output_lost if in_order else refuse):
            status = _run(argv, stop, in_order)
        compiled: Any = sys.modules.get("esengine.compiled")  # slow to import, for every command
        if compiled is not None and (remark := compiled.cache_remark()) is not None:
            _fail(remark, status)
        return status
    except UserError as error:
        return _fail(str(error).replace("\n", "\n  "), 2)
    except WorkerError as error:
        return _fail(str(error), 1)
    except RanksFailed as failed:
        return failed.status
    except CallbackRaised:
        return 75
    except Interrupted as signal:
        return (
            1 if launched_by_us() else _fail(f"stopped by {signal}", 1)
        )  # a launcher prints it itself
    except Abandoned:
        return _fail(f"stopped by {stop.received}", 1)
    except OutputRefused as error:
        return _fail(f"standard output must take the result, but: {error}", 1) if str(error) else 1
    except MemoryError as error:
        return _fail_for_memory(error)
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        return _fail_for_disk(error)


def _run(argv: list[str], stop: StopRequest, in_order: bool) -> int:
    """Run a command, or show what there are. One that does not stop in order ends at a signal."""
    if not argv or argv[0] in ("-h", "--help"):
        put(_usage())
        return 0 if argv else 2
    if argv[0] == "--version":
        put(f"esengine {__version__}")
        return 0

    if argv[0] == "train" and (len(argv) == 1 or argv[1] in ("-h", "--help", "--help-all")):
        put(train_usage())  # its own module imports the engine
        return 0 if argv[1:] else 2

    one_of("the command", argv[0], COMMANDS, "see esengine --help")
    if argv[0] == "train" and _HELP.intersection(argv):
        parse: Any = import_module("esengine.launch.settings.parse_train")  # without the training
        parse.parse_train(argv[1:])
    try:
        with environments_closed(), nullcontext() if in_order else stop.ending_at_once():
            return load_command(argv[0])(argv[1:], stop)
    except Exception as error:
        if stop and not in_order:  # a library made another error of it
            raise Abandoned from error
        raise


def _fail(message: str, status: int) -> int:
    """Print a message on the master only, since every rank has it."""
    if not _is_worker() and not leave_message(message):
        put(f"esengine: {message}", file=sys.stderr, flush=True)
    return status


def _fail_for_memory(error: MemoryError) -> int:
    """Print a message about memory, and end the other ranks, which may wait for this one."""
    begun = World.current is not None and World.current.num_pools > 0
    if World.current is not None:
        World.current.end = "abort"
    what = f": {error}" if str(error) else ""
    message = (
        f"the memory of this machine must hold what is asked for, and cannot{what}; use a smaller "
        f"--dimension, --population-size or --hidden-sizes, or a method that keeps no matrix"
    )
    return _fail(message, 1 if begun else 2)


def _fail_for_disk(error: OSError) -> int:
    """Print a message about a file that cannot be read or written, and end the other ranks."""
    if World.current is not None:
        World.current.end = "abort"
    where = "what this command reads and writes" if error.filename is None else error.filename
    return _fail(
        f"{where} must be readable and writable, got: {error.strerror}; make room or give access, "
        f"and repeat the command",
        1,
    )


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """The text of a warning: one sentence for one of esengine, else with its place in a library."""
    if Path(filename).is_relative_to(Path(__file__).parent.parent):
        return f"esengine: {shown(message, None)}\n"
    return _format_warning(message, category, filename, lineno, line)


_format_warning = warnings.formatwarning


def run_process() -> None:
    """Run `main` as a process, and then leave MPI in order or by force."""
    warnings.formatwarning = _warn
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells where it keeps its files
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # neither closed nor replaced
            stream.reconfigure(errors=ANY_TEXT)
    prepare_rank()
    adopt_objects_of_caller()
    if _shows_help_of_method(sys.argv[1:]):
        use_stand_ins()

    try:
        status = main()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
        if World.current is not None:
            World.current.end = "abort"
        status = 1

    if launched_by_us():
        if not _is_worker():
            leave_status(status)
        status = 0  # mpirun would print more about another one
    if World.current is not None:
        World.current.leave(status)
    sys.exit(status)


def _shows_help_of_method(argv: list[str]) -> bool:
    """Whether the process only prints the help of a method that is not a user's own."""
    return (
        argv[:1] == ["train"]
        and argv[1:2] != []
        and argv[1] in METHODS
        and bool(_HELP.intersection(argv))
    )


def _is_worker() -> bool:
    return World.current is not None and not World.current.is_master


def _usage() -> str:
    calls = {name: f"  {name} {each.argument}".rstrip() for name, each in COMMANDS.items()}
    indent = 2 + max(map(len, calls.values()))
    width = min(100, shutil.get_terminal_size().columns)
    rows = [
        textwrap.fill(
            COMMANDS[name].summary.format(methods=listed(METHODS)),
            width,
            initial_indent=f"{call:<{indent}}",
            subsequent_indent=" " * indent,
            break_on_hyphens=False,
        )
        for name, call in calls.items()
    ]
    return "\n".join(["usage: esengine COMMAND ...", "", *rows, "", textwrap.fill(_CLOSING, width)])
