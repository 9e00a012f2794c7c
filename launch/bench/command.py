"""The command: measures a subject, prints its table, writes its JSON.

Both sides of a row are measured in one run, in turns. A ratio is ours over the other, so higher is
better.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

from threadpoolctl import threadpool_limits

from esengine.environments import EnvironmentSpec
from esengine.errors import UserError, listed, put
from esengine.launch.bench.figures import BenchSettings, Figure, report
from esengine.launch.bench.kernels import bench_kernels
from esengine.launch.bench.programs import bench_programs
from esengine.launch.bench.rollouts import bench_rollouts
from esengine.launch.bench.training_runs import bench_profile, bench_scaling
from esengine.launch.settings.flags import parse
from esengine.ranks import StopRequest

SUBJECTS: dict[str, Callable[[BenchSettings, StopRequest], list[Figure]]] = {
    "kernels": lambda settings, stop: bench_kernels(settings),
    "rollouts": lambda settings, stop: bench_rollouts(settings),
    "scaling": bench_scaling,
    "profile": bench_profile,
    "programs": lambda settings, stop: bench_programs(settings),
}
_WITH_RANKS = ("scaling", "profile")  # which a signal ends in order


def bench_command(argv: list[str], stop: StopRequest) -> int:
    """Measure a subject and print its table; returns the exit status, see `report`.

    Raises:
        UserError: there is no such subject, or it cannot be measured here.
        WorkerError: the ranks that a subject started failed.
        Interrupted: a signal ended them.
    """
    if not argv or argv[0].startswith("-"):
        put(f"usage: esengine bench SUBJECT ...\n\nSUBJECT is one of: {listed(SUBJECTS)}")
        return 0 if argv else 2
    subject = argv[0]
    settings = parse(BenchSettings, argv[1:], f"esengine bench {subject}")
    if subject not in SUBJECTS:
        raise UserError(
            f"bench must be one of {listed(SUBJECTS)}, got {subject!r}; see esengine bench --help"
        )
    settings.check_values()
    if subject in _WITH_RANKS:
        EnvironmentSpec(settings.env_id).spaces()  # raises before any rank starts

    in_order = subject in _WITH_RANKS
    with threadpool_limits(1), nullcontext() if in_order else stop.ending_at_once():
        # one core's figures, for the plain code as well
        figures = SUBJECTS[subject](settings, stop)
    return report(figures, settings.json, settings.check)
