"""``esengine submit``: from flags to a job in the queue."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, NotRequired, TypedDict

from msgspec import Meta

from esengine.checks import flag_name, one_of
from esengine.errors import UserError, listed, put
from esengine.launch.command_table import COMMANDS
from esengine.launch.mpirun.local_ranks import BIND_VARIABLE
from esengine.launch.mpirun.mpi_needs import MPIRUN_VARIABLE
from esengine.launch.runs.run_directory import JOB_FOLDER, default_path
from esengine.launch.runs.run_set import is_set, runs_of_set
from esengine.launch.settings.flags import parse, split_at_dashes
from esengine.launch.settings.parse_train import (
    parse_resume,
    parse_train,
    resume_changes,
    take_flag,
)
from esengine.launch.slurm.client import submit_script
from esengine.launch.slurm.script import JobScript, command_line_options, script_text
from esengine.launch.slurm.settings import SBATCH_OPTIONS, SubmitSettings
from esengine.launch.training.commands import planned_sweep, runs_of_seeds
from esengine.launch.training.several import check_set
from esengine.launch.training.start_and_resume import check_resumable
from esengine.ranks import StopRequest
from esengine.storage.files import replace_lasting, write_json
from esengine.storage.records import read_record

_NEVER = ("submit", "status", "cancel", "job", "doctor")
_RECORD = "job.json"
_SCRIPT = "job.sbatch"
_BUSY = 4  # members for each worker, with which a generation's end is short, see SCALING.md


class _JobRecord(TypedDict):
    """``slurm/job.json``."""

    job: Annotated[str, Meta(pattern="^[0-9]+$")]
    first_seed: Annotated[int, Meta(ge=0, lt=1 << 53)] | None
    log: str
    time: NotRequired[str]


@dataclass(frozen=True)
class Submission:
    """The record of a submitted job.

    Attributes:
        job: number of the job or of the array.
        directory: the run directory; for an array, the folder of the runs.
        first_seed: seed of task 0, or None if the job is no array.
        log: name of the log files with sbatch's patterns.
    """

    job: str
    directory: Path
    first_seed: int | None
    log: str

    def run_of(self, task: str | None) -> Path:
        """The run directory of a task, or of a job that is no array."""
        if self.first_seed is None or task is None:
            return self.directory
        return self.directory / f"seed-{self.first_seed + int(task)}"

    def save(self) -> None:
        """Write the record to the run directory."""
        record = {
            "job": self.job,
            "first_seed": self.first_seed,
            "log": self.log,
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        write_json(self.directory / JOB_FOLDER / _RECORD, record)

    @classmethod
    def of(cls, directory: Path) -> Submission | None:
        """The latest submission of a run or of an array, or None if there is none. Raises UserError
        for a damaged record.
        """
        path = directory / JOB_FOLDER / _RECORD
        if not os.path.lexists(path):
            return None
        record = read_record(path, _JobRecord)
        return cls(record["job"], directory, record["first_seed"], record["log"])


def submit_command(argv: list[str], stop: StopRequest) -> int:
    """Submit the command after ``--``; returns the exit status. Raises UserError for invalid
    flags or an invalid command.
    """
    own, arguments = split_at_dashes(argv)
    if not arguments and any(word in ("train", "resume") for word in own):
        raise UserError(
            "submit needs two dashes before the command, got none; for example esengine submit "
            "--nodes 2 -- train cma-es --env-id CartPole-v1"
        )
    known = [flag_name(field.name) for field in fields(SubmitSettings)]
    for word in own:
        flag = word.partition("=")[0]
        plain = flag.replace("_", "-").replace("no-dry", "dry")
        if not flag.startswith("--") or plain in (*known, "--help"):
            continue
        way_out = "give other options of sbatch as --sbatch key=value"
        if flag[2:] in SBATCH_OPTIONS:
            way_out = f"use --sbatch {flag[2:]}"
        raise UserError(f"submit's flags must be among {listed(known)}, got {flag}; {way_out}")

    return submit(parse(SubmitSettings, own, "esengine submit"), arguments)


def submit(settings: SubmitSettings, arguments: list[str]) -> int:
    """Submit a command of esengine as a job, and print where to look; returns the exit status.

    Raises:
        UserError: the command or a flag is invalid, or sbatch refused.
    """
    settings.check()
    script = job_script(settings, arguments)
    text = script_text(script)
    options = command_line_options(script)
    if settings.dry_run:
        print(text, end="")
        if options:
            put(f"# and on sbatch's command line: {shlex.join(options)}")
        return 0
    if script.directory is None:  # of a command that has none
        with tempfile.NamedTemporaryFile(suffix=".sbatch") as file:
            file.write(os.fsencode(text))
            file.flush()
            put(f"submitted job {submit_script(file.name, options)}")
        return 0

    folder = Path(script.directory) / JOB_FOLDER
    made = _make(folder)
    try:
        replace_lasting(folder / _SCRIPT, os.fsencode(text))
        job = submit_script(str(folder / _SCRIPT), options)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise

    log = str(folder / _log_pattern(script.first_seed))
    submission = Submission(job, Path(script.directory), script.first_seed, log)
    submission.save()
    _announce(submission, settings)
    _advise(settings, arguments)
    return 0


def _advise(settings: SubmitSettings, arguments: list[str]) -> None:
    """Print when an array is the better choice: if each run of a set keeps the workers busy."""
    if arguments[0] != "train" or (seeds := take_flag(arguments[1:], "--seeds"))[0] is None:
        return
    members = getattr(parse_train(seeds[1]).search, "population_size", None)
    workers = int(settings.nodes.rpartition("-")[2]) * settings.ntasks_per_node
    if members is not None and members >= _BUSY * workers:
        put(
            f"each run has {members} members for {workers} workers, so one run alone keeps them "
            f"busy; with --array before the two dashes, in place of --seeds {seeds[0]}, each seed "
            f"is a job of its own, and starts as soon as there is room for it",
            flush=True,
        )


def _without(arguments: list[str], *flags: str) -> list[str]:
    """The arguments without flags and their values, which the script gives itself."""
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        flag, equals, _ = word.replace("_", "-").partition("=")
        if flag not in flags:
            rest.append(word)
        elif not equals:
            next(words, None)
    return rest


def job_script(settings: SubmitSettings, arguments: list[str]) -> JobScript:
    """The content of the batch script. Raises UserError for a command that cannot be submitted."""
    if not arguments:
        raise UserError(
            "submit needs a command after --, got none; for example: esengine submit --nodes 2 -- "
            "train openai-es ..."
        )
    known = [name for name in COMMANDS if name not in _NEVER]
    one_of("the command after --", arguments[0], known, "see esengine --help")

    name = arguments[0]
    directory = None
    first_seed = None
    if arguments[0] == "train":
        seeds, words = take_flag(arguments[1:], "--seeds")
        config = parse_train(words)
        config.check()
        name = f"{config.method}-{config.train.task}"
        own = config.train.run_dir
        if seeds is not None:
            own, configs = runs_of_seeds(config, seeds)
            check_set(configs)
        directory = os.path.abspath(own or default_path(config))
        if seeds is None and settings.array is not None:
            first_seed = config.train.seed
        arguments = _without(arguments, "--run-dir", *(["--seed"] if settings.array else []))
        _check_new(Path(directory))
    elif arguments[0] == "sweep":
        path, configs = planned_sweep(arguments[1:])
        check_set(configs)
        name = f"sweep-{path.name}"
        directory = os.path.abspath(path)
        _check_new(Path(directory))
    elif arguments[0] == "resume":
        task = parse_resume(arguments[1:])
        directory = os.path.abspath(task.run)
        for run in runs_of_set(task.run) if is_set(task.run) else [Path(directory)]:
            check_resumable(run, resume_changes(task), task.trust_modules)
    if settings.array is not None and first_seed is None:
        raise UserError(
            f"--array must go with train, which it gives seeds, got "
            f"{'--seeds' if arguments[0] == 'train' else arguments[0]}; use one of both, or submit "
            f"each run by itself"
        )

    others = (pair for pair in settings.options() if pair[0] != "job-name")
    options = [("job-name", settings.job_name or name), *others]
    if directory is not None:
        folder = f"{directory.replace('%', '%%')}/{JOB_FOLDER}"
        options += [
            ("output", f"{folder}/{_log_pattern(first_seed)}"),
            ("open-mode", "append"),
            ("signal", f"B:USR1@{settings.stop_before}"),
            ("requeue", None),
        ]
    return JobScript(
        options=tuple(options),
        setup=settings.setup,
        variables=_variables(settings),
        program=(sys.executable, "-P", "-m", "esengine"),
        arguments=tuple(arguments),
        directory=directory,
        first_seed=first_seed,
        stop_before_s=settings.stop_before,
        max_requeues=settings.max_requeues,
        ntasks_per_node=settings.ntasks_per_node if settings.open_nodes else None,
    )


def _log_pattern(first_seed: int | None) -> str:
    """The name of the log files with sbatch's patterns; an array has a seed for its first task."""
    return "%j.log" if first_seed is None else "%A_%a.log"


def _variables(settings: SubmitSettings) -> tuple[tuple[str, str], ...]:
    launcher = ((MPIRUN_VARIABLE, "srun"),) if settings.launcher == "srun" else ()
    binding = ((BIND_VARIABLE, "core"),) if settings.bind_to == "core" else ()
    return (*launcher, *binding)


def _check_new(directory: Path) -> None:
    """Raises UserError for a folder that a new run cannot have."""
    if "\\" in str(directory):
        raise UserError(
            f"--run-dir must have no backslash, which Slurm reads in the names of logs, got "
            f"{directory}; use another"
        )
    if (directory / "config.json").exists():
        raise UserError(
            f"--run-dir must be new, got {directory}, which holds a run; submit -- resume "
            f"{directory}, or use another"
        )

    earlier = Submission.of(directory)
    if earlier is not None:
        raise UserError(
            f"--run-dir must be new, got {directory}, which job {earlier.job} was submitted for; "
            f"look with esengine status {earlier.job}, or use another"
        )


def _make(folder: Path) -> Path:
    """Make a folder and its parents; returns the topmost new folder, to be removed if the
    submission fails.
    """
    top = folder
    while not top.parent.exists():
        top = top.parent
    if folder.exists():
        top = folder / _SCRIPT  # of a run that was submitted before; keep the folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--run-dir must be writable, got {folder.parent}: {error.strerror}; use another folder"
        ) from error

    return top


def _announce(submission: Submission, settings: SubmitSettings) -> None:
    if submission.first_seed is None:
        put(f"submitted job {submission.job}")
        put(f"run directory {submission.directory}")
    else:
        put(f"submitted array {submission.job}, tasks {settings.array}")
        put(f"runs {submission.directory}/seed-*")
    put(f"log {submission.log.replace('%j', submission.job).replace('%A', submission.job)}")
    put(f"look with: esengine status {shlex.quote(str(submission.directory))}")
    put(f"end it with: esengine cancel {submission.job}", flush=True)
