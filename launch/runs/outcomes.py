"""How a start of a run ends: the exit status, and what is said of it, judged by the records that it
left.
"""

from __future__ import annotations

import shlex
import sys

from esengine.launch.runs.run_directory import RunDirectory
from esengine.storage.checkpoint import checkpoints, load_newest

DONE, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 75  # exit statuses; 75 is EX_TEMPFAIL
OUTCOMES = {"done": DONE, "stopped": STOPPED, "failed": FAILED, "refused": BAD_INPUT}


def tell_end(directory: RunDirectory, num_starts: int, quiet: bool, stopped: bool) -> int:
    """Say how ranks that are gone have left a run; returns the exit status.

    Args:
        directory: the run.
        num_starts: its starts before this one.
        quiet: say nothing but errors.
        stopped: whether it was asked to stop.
    """
    directory.wait_for_writer()
    starts = directory.starts()
    has_begun = len(starts) > num_starts
    outcome = starts[-1].get("outcome") if has_begun else None
    if (
        outcome == "stopped" and not stopped
    ):  # by nobody's wish here: a rank that died, say, or a time limit
        print(f"esengine: {_stopped(directory)}", file=sys.stderr)
        return STOPPED
    if outcome is not None:
        tell_outcome(directory, outcome, quiet)
        return OUTCOMES[outcome]
    if not stopped:
        return _judge_lost(directory, has_begun)
    if has_begun:
        directory.end_start("stopped")
    tell_outcome(directory, "stopped", quiet)
    return STOPPED


def tell_outcome(directory: RunDirectory, outcome: str, quiet: bool) -> None:
    """Say how a start ended, unless it raised what is told as an error."""
    if outcome == "done" and not quiet:
        _tell_done(directory)
    elif outcome == "stopped" and not quiet:
        print(_stopped(directory), flush=True)


def _stopped(directory: RunDirectory) -> str:
    kept = checkpoints(directory.checkpoints)
    what = (
        "stopped with a checkpoint; go on with"
        if kept
        else "stopped before the first checkpoint; begin again with"
    )
    return f"{what}: {resumption(directory)}"


def tell_finished(directory: RunDirectory, reason: str, quiet: bool) -> None:
    """Say that a run which is to go on has nothing left to do."""
    if not quiet:
        more = "give it a larger --generations or budget, or another --target-return"
        print(f"{directory.path} has finished already: {reason}; to go on, {more}", flush=True)


def resumption(directory: RunDirectory) -> str:
    """The command that goes on with a run."""
    return f"esengine resume {shlex.quote(str(directory.path))}"


def _tell_done(directory: RunDirectory) -> None:
    done, train = directory.done() or {}, directory.config().train
    print(f"finished: {done['reason']}")
    if train.objective is not None:
        print(f"best value {directory.best()['value']:.6g} in {directory.path / 'best.json'}")
    elif done["final_return"] is None:
        print("every episode of the final evaluation failed; failures.jsonl tells why")
    else:
        print(f"return {done['final_return']:.2f} over {train.final_episodes} fresh episodes")
    print(f"run directory {directory.path}", flush=True)


def _judge_lost(directory: RunDirectory, has_begun: bool) -> int:
    """The ranks ended without a word: they never started, or were killed."""
    checkpoint = load_newest(directory.checkpoints) if has_begun else None
    if checkpoint is None:
        when = "before the first checkpoint" if has_begun else "before they had started"
        print(f"esengine: the ranks ended {when}; see their messages above", file=sys.stderr)
        return FAILED
    whole = f"a checkpoint of generation {checkpoint.generation} is whole"
    try:
        directory.check_writable()
    except OSError as error:  # to be resumed would only be to fail again
        refusal = f"{directory.path} cannot be written: {error.strerror}"
        print(
            f"esengine: the ranks ended early, and {refusal}; {whole}; make room, then resume the "
            f"run",
            file=sys.stderr,
        )
        return FAILED
    print(
        f"esengine: the ranks ended early; {whole}; go on with: {resumption(directory)}",
        file=sys.stderr,
    )
    return STOPPED
