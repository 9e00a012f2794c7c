"""What is compared: each case is one piece of work, and for every package the program that measures
it.
"""

from __future__ import annotations

from dataclasses import dataclass

from esengine.candidates import chunk_size

OURS = "ours"
"""The environment of the project itself, for its own side and for what comes with Python and
mpi4py.
"""
CMA_MEMORY = 6 << 30  # bytes of address space that a CMA-ES process gets
PEERS = (
    "evotorch",
    "evosax",
    "cma",
    "cmaes",
    "multiprocessing",
    "concurrent.futures",
    "mpi4py.futures",
    "ray",
)


@dataclass(frozen=True)
class Program:
    """A measuring program.

    Attributes:
        environment: `OURS`, or a file of ``requirements/`` without its ending.
        module: of ``benchmarks.peers.measure``.
        arguments: of the program.
        ranks: number of processes that ``mpirun`` starts, or 0 to start one without it.
        runner: a module that runs the program as its own script, as ``mpi4py.futures`` does.
        memory_bytes: address space that it gets, or None for all there is.
        one_core: whether it may use one core only, for libraries that start as many threads as
            there are cores.
    """

    environment: str
    module: str
    arguments: tuple[str, ...]
    ranks: int = 0
    runner: str | None = None
    memory_bytes: int | None = None
    one_core: bool = False


@dataclass(frozen=True)
class Case:
    """One piece of work.

    Attributes:
        section: heading that it stands under.
        name: the work, in words.
        unit: of the figures.
        higher_is_better: whether a larger figure wins.
        ours: the engine's program.
        peers: the others' programs, by the package's name and, after a comma, how it is used.
    """

    section: str
    name: str
    unit: str
    higher_is_better: bool
    ours: Program
    peers: dict[str, Program]


def package(peer: str) -> str:
    """The package of a side of a case."""
    return peer.split(",")[0]


def all_cases() -> list[Case]:
    """Everything that is compared."""
    return [*_rollouts(), *_cma_es(), *_dispatch()]


def chosen(cases: list[Case], only: list[str]) -> list[Case]:
    """The cases in which one of the packages has a side, with these sides alone; all of them if
    none is named.
    """
    kept = []
    for case in cases:
        peers = {
            peer: program
            for peer, program in case.peers.items()
            if not only or package(peer) in only
        }
        if peers:
            kept.append(
                Case(case.section, case.name, case.unit, case.higher_is_better, case.ours, peers)
            )
    return kept


def _rollouts() -> list[Case]:
    unit = "steps / CPU s"
    cases = []
    for env_id, kind, count, peers in (
        ("CartPole-v1", "balancing", 256, ("evotorch", "evosax")),
        ("CartPole-v1", "random", 256, ("evotorch", "evosax")),
        ("Pendulum-v1", "random", 256, ("evotorch", "evosax")),
        ("HalfCheetah-v5", "random", 16, ("evotorch",)),
    ):
        arguments = ("evaluation", env_id, kind, str(count), "1")
        programs = {
            "evotorch": Program("evotorch", "evotorch_rollouts", arguments[1:4]),
            "evosax": Program("evosax", "evosax_rollouts", arguments, one_core=True),
        }
        name = f"{env_id}, evaluating {count} {kind} policies"
        ours = Program(OURS, "ours_rollouts", arguments)
        cases.append(
            Case("Rollouts", name, unit, True, ours, {peer: programs[peer] for peer in peers})
        )
    for env_id in ("CartPole-v1", "Pendulum-v1"):
        arguments = ("evolution", env_id, "random", "256", "20")
        name = f"{env_id}, first 20 generations of 256"
        ours, theirs = (
            Program(OURS, "ours_rollouts", arguments),
            Program("evosax", "evosax_rollouts", arguments, one_core=True),
        )
        cases.append(Case("Rollouts", name, unit, True, ours, {"evosax": theirs}))
    return cases


def _cma_es() -> list[Case]:
    cases = []
    for n, population_size, generations in (
        (10, 100, 200),
        (100, 100, 100),
        (100, 10_000, 6),
        (1000, 100, 4),
        (1000, 1000, 4),
    ):
        arguments = (str(n), str(population_size), str(generations))
        peers = {
            peer: Program("cma", "cma_packages", (peer, *arguments), memory_bytes=CMA_MEMORY)
            for peer in ("cma", "cmaes")
        }
        ours = Program(OURS, "ours_cma", arguments, memory_bytes=CMA_MEMORY)
        name = f"n = {n:,}, lambda = {population_size:,}"
        cases.append(Case("CMA-ES", name, "CPU ms / generation", False, ours, peers))
    return cases


def _dispatch() -> list[Case]:
    return [_dispatch_case(8191, "one task a unit"), _dispatch_case(70_000, "four tasks a unit")]


def _dispatch_case(count: int, how: str) -> Case:
    arguments = (str(count), str(chunk_size(count)))  # of a unit of our pool
    peers = {
        "multiprocessing, Pool.imap_unordered": Program(
            OURS, "executors", ("multiprocessing", *arguments)
        ),
        "concurrent.futures, ProcessPoolExecutor.map": Program(
            OURS, "executors", ("concurrent.futures", *arguments)
        ),
        "mpi4py.futures, MPIPoolExecutor.map": Program(
            OURS, "executors", ("mpi4py.futures", *arguments), ranks=3, runner="mpi4py.futures"
        ),
        "ray, remote functions": Program("ray", "ray_tasks", ("functions", *arguments)),
        "ray, two actors": Program("ray", "ray_tasks", ("actors", *arguments)),
    }
    ours = Program(OURS, "ours_dispatch", (str(count),), ranks=3)
    return Case(
        "Dispatch", f"{count:,} tasks that do nothing, {how}", "tasks / s", True, ours, peers
    )
