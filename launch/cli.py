"""The command line: ``esengine train | resume | evaluate | doctor``."""

from __future__ import annotations

import sys
import tomllib
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from esengine import __version__
from esengine.errors import Interrupted, UserError, WorkerError, listed
from esengine.interrupts import StopRequest
from esengine.world import World

T = TypeVar("T")

USAGE = """usage: esengine COMMAND ...

  train METHOD      evolve a policy, or optimise a function; METHOD is one of: {methods}
  resume RUN        go on with a run that was stopped or killed, exactly
  evaluate RUN      mean return of a run's policy, or of a policy file, on fresh episodes
  doctor            what this installation has, and what it lacks
  bench SUBJECT     how fast the engine is on this machine; SUBJECT: kernels, rollouts, dispatch, scaling, profile

esengine COMMAND --help tells the flags. Under mpirun or srun the ranks found are used; otherwise train starts local ones.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 failed, 2 bad input, 75 stopped with a checkpoint."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE.format(methods=listed(_methods())))
        return 0 if argv else 2
    if argv[0] == "--version":
        print(f"esengine {__version__}")
        return 0
    stop = StopRequest().install()
    try:
        command = COMMANDS.get(argv[0])
        if command is None:
            raise UserError(f"the command must be one of {listed(COMMANDS)}, got {argv[0]!r}; see esengine --help")
        return command(argv[1:], stop)
    except UserError as error:
        return _fail(str(error), 2)
    except WorkerError as error:
        return _fail(str(error), 1)
    except Interrupted as signal:
        return _fail(f"stopped by {signal}", 1)


def _fail(message: str, status: int) -> int:
    """Print one message, on the master only: every rank has it."""
    if not _is_worker():
        print(f"esengine: {message}", file=sys.stderr, flush=True)
    return status


def run_process() -> None:
    """The process's entry: `main`, and then an orderly or a forced end of MPI."""
    try:
        status = main()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
        if World.current is not None:
            World.current.end = "abort"
        status = 1
    sys.stdout.flush()
    if World.current is not None:
        World.current.leave(status)
    sys.exit(0 if _launched() else status)  # the launcher reads the records; mpirun would only add words to a status


def _launched() -> bool:
    from esengine.launch.local_mpi import launched_by_us

    return launched_by_us()


def _is_worker() -> bool:
    return World.current is not None and not World.current.is_master


def _methods() -> list[str]:
    return ["truncation-es", "openai-es", "ars", "pgpe", "snes", "cma-es", "sep-cma-es"]


def _train(argv: list[str], stop: StopRequest) -> int:
    from esengine.launch.config import RunConfig, TrainSettings, settings_of
    from esengine.launch.start import start

    if not argv or argv[0] in ("-h", "--help"):
        print(
            f"usage: esengine train METHOD ...\n\nMETHOD is one of: {listed(_methods())}\n"
            "esengine train METHOD --help tells the flags"
        )
        return 0 if argv else 2
    settings = settings_of(argv[0])
    rest, values = _without_config_file(argv[1:])
    from_file = dict(values)
    command = make_dataclass("train", [("search", settings), ("train", TrainSettings)], frozen=True)
    default = command(_take(settings, values), _take(TrainSettings, values))
    if "trust_modules" in from_file:
        raise UserError("--trust-modules must be given on the command line, got it from the file of --config; drop it there")
    if values:
        raise UserError(
            f"--config must hold flags of {argv[0]}, got {listed(sorted(values))}; see esengine train {argv[0]} --help"
        )
    parsed: Any = _parse(command, rest, f"esengine train {argv[0]}", default, settings.__doc__)
    for name in ("objective", "env_id"):
        named = getattr(parsed.train, name)
        if named is not None and ":" in named and named == from_file.get(name) and not parsed.train.trust_modules:
            raise UserError(f"--config names the module {named!r}, whose code would run; add --trust-modules if you trust it")
    return start(RunConfig(argv[0], parsed.train, parsed.search), stop)


def _without_config_file(argv: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Take ``--config FILE`` out of the arguments and read the file, keys with underscores."""
    rest, values = list(argv), {}
    for index, argument in enumerate(argv):
        if argument == "--config" or argument.startswith("--config="):
            name = argument.partition("=")[2] or (argv[index + 1] if index + 1 < len(argv) else "")
            del rest[index : index + (1 if "=" in argument else 2)]
            try:
                with open(name, "rb") as file:
                    values = {key.replace("-", "_"): value for key, value in tomllib.load(file).items()}
            except (OSError, tomllib.TOMLDecodeError) as error:
                raise UserError(f"--config must be a readable TOML file, got {name!r}: {error}") from error
            break
    return rest, values


def _take(kind: type[T], values: dict[str, Any]) -> T:
    """The settings with the file's values, which are taken out of ``values``."""
    from esengine.launch.config import settings_from

    return settings_from(kind, {field.name: values.pop(field.name) for field in fields(kind) if field.name in values})  # type: ignore[arg-type]


@dataclass(frozen=True)
class ResumeSettings:
    """Go on with a run that was stopped or killed; the result is that of a run that never stopped."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run directory."""
    generations: int | None = None
    """Change the number of generations."""
    max_env_steps: int | None = None
    """Change the budget of environment steps."""
    max_evaluations: int | None = None
    """Change the budget of episodes or function values."""
    max_time: float | None = None
    """Change the budget of seconds, which counts earlier starts."""
    target_return: float | None = None
    """Change the target."""
    ranks: int | None = None
    """Workers to start on this machine; the result does not depend on it."""
    trust_modules: bool = False
    """Import the module that the run's files name."""
    quiet: bool = False
    """Print nothing but errors."""


def _resume(argv: list[str], stop: StopRequest) -> int:
    from esengine.launch.start import resume

    parsed = _parse(ResumeSettings, argv, "esengine resume")
    names = ("generations", "max_env_steps", "max_evaluations", "max_time", "target_return", "ranks")
    changes = {name: getattr(parsed, name) for name in names if getattr(parsed, name) is not None}
    return resume(parsed.run, changes, parsed.quiet, parsed.trust_modules, stop)


def _evaluate(argv: list[str], stop: StopRequest) -> int:
    from esengine.launch.evaluation import EvaluateSettings, evaluate_command

    command = make_dataclass(
        "evaluate",
        [
            ("policy", Annotated[Path, tyro.conf.Positional, tyro.conf.arg(help="A run directory or a policy file.")]),
            ("how", EvaluateSettings),
        ],
        frozen=True,
    )
    parsed: Any = _parse(command, argv, "esengine evaluate", description=EvaluateSettings.__doc__)
    return evaluate_command(parsed.policy, parsed.how, stop)


def _doctor(argv: list[str], stop: StopRequest) -> int:
    from esengine.launch.doctor import DoctorSettings, doctor

    return doctor(_parse(DoctorSettings, argv, "esengine doctor"))


def _parse(kind: type[T], argv: list[str], prog: str, default: T | None = None, description: str | None = None) -> T:
    options: dict[str, Any] = {} if default is None else {"default": default}
    parsed: T = tyro.cli(
        kind,
        args=argv,
        prog=prog,
        description=description,
        config=(tyro.conf.OmitArgPrefixes,),
        **options,
    )
    return parsed


def _bench(argv: list[str], stop: StopRequest) -> int:
    from esengine.launch.bench.command import SUBJECTS, bench
    from esengine.launch.bench.figures import BenchSettings

    if not argv or argv[0].startswith("-"):
        print(f"usage: esengine bench SUBJECT ...\n\nSUBJECT is one of: {listed(SUBJECTS)}")
        return 0 if argv else 2
    return bench(argv[0], _parse(BenchSettings, argv[1:], f"esengine bench {argv[0]}"), stop)


COMMANDS: dict[str, Callable[[list[str], StopRequest], int]] = {
    "train": _train,
    "resume": _resume,
    "evaluate": _evaluate,
    "doctor": _doctor,
    "bench": _bench,
}
