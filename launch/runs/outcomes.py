"""How a start of a run ended: exit status and final message, from the records of the run."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from esengine.errors import UserError, put, shown
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.runs.run_lock import wait_until_free
from esengine.storage import load_newest
from esengine.user_code import are_remembered

DONE, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 75  # exit statuses; 75 is EX_TEMPFAIL
_PATIENCE_S = 60.0
OUTCOMES = {"done": DONE, "stopped": STOPPED, "failed": FAILED, "refused": BAD_INPUT}


def report_end(directory: RunDirectory, num_starts: int, quiet: bool, stopped: bool) -> int:
    """Print how a start ended whose ranks are gone; returns the exit status.

    Args:
        directory: the run.
        num_starts: its starts before this one.
        quiet: whether to print only errors.
        stopped: whether a signal asked the start to stop.
    """
    wait_until_free(directory.folder, _PATIENCE_S)  # a process that saves survives killed ranks

    starts = directory.starts()
    has_begun = len(starts) > num_starts
    outcome = starts[-1].get("outcome") if has_begun else None
    if outcome == "stopped" and not stopped:  # by a rank that died, or by a time limit
        put(f"esengine: {_stopped(directory)}", file=sys.stderr)
        return STOPPED
    if outcome is not None:
        print_outcome(directory, outcome, quiet)
        return OUTCOMES[outcome]

    if not stopped:
        return _judge_lost(directory, has_begun)
    if has_begun:
        directory.note(outcome="stopped")
    print_outcome(directory, "stopped", quiet)
    return STOPPED


def print_outcome(directory: RunDirectory, outcome: str, quiet: bool) -> None:
    """Print how a start ended, unless it raised an error, which is printed elsewhere."""
    if outcome == "done" and not quiet:
        _print_done(directory)
    elif outcome == "stopped" and not quiet:
        put(_stopped(directory), flush=True)


def _stopped(directory: RunDirectory) -> str:
    what = "stopped before the first checkpoint; start again with"
    if directory.newest_checkpoint():
        what = "stopped with a checkpoint; resume with"
    return f"{what}: {how_to_resume(directory)}"


def print_finished(directory: RunDirectory, reason: str, quiet: bool) -> None:
    """Print that a run that is resumed has finished already."""
    if not quiet:
        more = "give it a larger --generations or budget, or another --target-return"
        put(f"{directory.path} has finished already: {shown(reason)}; to go on, {more}", flush=True)


def how_to_resume(directory: RunDirectory) -> str:
    """The command that resumes a run. It trusts modules that the run names where the user has
    named or trusted them, or owns the run.
    """
    command = f"{program()} resume {shlex.quote(str(directory.path))}"
    with suppress(UserError, OSError):
        is_own = directory.trusted or directory.folder.stat().st_uid == os.geteuid()
        modules = directory.config().modules
        if is_own and modules and not are_remembered(*modules):
            command += " --trust-modules"
    return command


def program() -> str:
    """How the command line is called here: by its name, or by the path that it was called by where
    the shell would not find it.
    """
    called = Path(sys.argv[0])
    if called.name != "esengine" or shutil.which("esengine"):
        return "esengine"
    return shlex.quote(str(called))


def _print_done(directory: RunDirectory) -> None:
    done = directory.done() or {}
    train = directory.config().train

    put(f"finished: {shown(done['reason'])}")
    if train.is_function:
        best = directory.best()
        what = "best value" if best["feasible"] else "no point met all constraints; nearest value"
        error = done.get("standard_error")
        of_mean = "" if error is None else f" with standard error {error:.2g} over fresh seeds"
        put(f"{what} {best['value']:.6g}{of_mean} in {directory.path / 'best.json'}")
    elif done["final_return"] is None:
        put("every episode of the final evaluation failed; failures.jsonl has the reasons")
    else:
        put(f"return {done['final_return']:.2f} over {train.final_episodes} fresh episodes")
    put(f"run directory {directory.path}", flush=True)
    if not train.is_function and sys.stdout.isatty():
        film = f"render {shlex.quote(str(directory.path))} --out film.gif"
        put(f"film the policy: {program()} {film}", flush=True)


def _judge_lost(directory: RunDirectory, has_begun: bool) -> int:
    """Print how ranks ended that recorded no outcome, since they never started or were killed."""
    checkpoint = load_newest(directory.checkpoints) if has_begun else None
    if checkpoint is None:
        when = "before the first checkpoint" if has_begun else "before they had started"
        put(f"esengine: the ranks ended {when}; see their messages above", file=sys.stderr)
        return FAILED

    whole = f"a checkpoint of generation {checkpoint.generation} is whole"
    try:
        directory.check_writable()
    except OSError as error:  # a resumed run would fail again
        refusal = f"{directory.path} cannot be written: {error.strerror}"
        way_out = "make room, then resume the run"
        put(f"esengine: the ranks ended early, and {refusal}; {whole}; {way_out}", file=sys.stderr)
        return FAILED

    way_out = f"resume with: {how_to_resume(directory)}"
    put(f"esengine: the ranks ended early; {whole}; {way_out}", file=sys.stderr)
    return STOPPED
