"""The memory of this machine, within the limits of the containers and jobs around this process."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_MACHINE = Path("/")


class _Names(NamedTuple):
    """The files of a control group, by the version of the kernel's interface."""

    limit: str
    used: str
    cache: tuple[str, ...]  # keys of memory.stat: pages of files, which the kernel can drop


_FIRST = _Names(
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    ("total_inactive_file", "total_active_file"),
)
_SECOND = _Names("memory.max", "memory.current", ("inactive_file", "active_file"))


def memory_bytes(root: Path = _MACHINE) -> int:
    """The bytes that all processes here may use together.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *(limit for limit, _ in _control_groups(root))])


def free_bytes(root: Path = _MACHINE) -> int:
    """The bytes that this process can still have without swapping or being killed.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    free = [max(0, limit - used) for limit, used in (*_control_groups(root), *_own_limit(root))]
    return min([_available(root), *free])


def _own_limit(root: Path) -> Iterator[tuple[int, int]]:
    """The limit of this process's addresses (``ulimit -v``), and those that it uses."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    with suppress(OSError, ValueError):
        if limit != resource.RLIM_INFINITY:
            pages = int((root / "proc/self/statm").read_text().split()[0])
            yield limit, pages * os.sysconf("SC_PAGE_SIZE")


def _available(root: Path) -> int:
    with suppress(OSError, ValueError):
        for line in (root / "proc/meminfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return 1024 * int(value.split()[0])
    return memory_bytes(root)


def _control_groups(root: Path) -> Iterator[tuple[int, int]]:
    """The limit and the used bytes of each control group that holds this process and has a limit.
    Files of the page cache do not count as used.
    """
    for folder, names in _folders(root):
        with suppress(OSError, ValueError):  # the root has no limit, and "max" is none
            limit = int((folder / names.limit).read_text())
            used = int((folder / names.used).read_text())
            statistics = dict(
                line.split() for line in (folder / "memory.stat").read_text().splitlines()
            )
            yield limit, used - sum(int(statistics.get(name, 0)) for name in names.cache)


def _folders(root: Path) -> Iterator[tuple[Path, _Names]]:
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return

    mounted = root / "sys/fs/cgroup"
    for line in lines:
        number, controllers, path = line.split(":", 2)
        tops = []
        names = _FIRST
        if number == "0":
            tops = [mounted, mounted / "unified"]
            names = _SECOND
        elif "memory" in controllers.split(","):
            tops = [mounted / "memory"]
        for top in tops:
            # A container may see its own group as the top, under a path of the host.
            folder = top / path.strip("/")
            yield from ((each, names) for each in (folder, *folder.parents) if _is_in(each, top))


def _is_in(folder: Path, top: Path) -> bool:
    return folder.is_relative_to(top) and folder.is_dir()
