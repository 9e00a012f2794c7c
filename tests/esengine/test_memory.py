"""The memory that there is: the machine's, or less in a container or a job."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from esengine.memory import free_bytes, memory_bytes

MB = 1 << 20


def machine(root: Path, groups: str, **files: str) -> Path:
    """A pretended machine with 900 MB available, and the files of its control groups."""
    for name, text in {
        "proc/meminfo": f"MemTotal: 1 kB\nMemAvailable: {900 * 1024} kB\n",
        "proc/self/cgroup": groups,
        **files,
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def second(folder: str, limit: str, used_mb: int, cache_mb: int = 0) -> dict[str, str]:
    return {
        f"{folder}/memory.max": limit,
        f"{folder}/memory.current": str(used_mb * MB),
        f"{folder}/memory.stat": f"anon 5\nactive_file {cache_mb * MB}\ninactive_file 0\n",
    }


def first(folder: str, limit_mb: int, used_mb: int) -> dict[str, str]:
    return {
        f"{folder}/memory.limit_in_bytes": str(limit_mb * MB),
        f"{folder}/memory.usage_in_bytes": str(used_mb * MB),
        f"{folder}/memory.stat": "total_inactive_file 0\ntotal_active_file 0\n",
    }


@pytest.mark.parametrize(
    ("groups", "files", "free_mb", "most_mb"),
    [
        ("0::/\n", {}, 900, None),
        ("0::/job\n", second("sys/fs/cgroup/job", str(100 * MB), 40), 60, 100),
        ("0::/job\n", second("sys/fs/cgroup/job", str(100 * MB), 90, cache_mb=50), 60, 100),
        ("0::/job\n", second("sys/fs/cgroup/job", "max", 40), 900, None),
        ("0::/job/step\n", second("sys/fs/cgroup/job", str(100 * MB), 40), 60, 100),
        ("0::/of/the/host\n", second("sys/fs/cgroup", str(100 * MB), 40), 60, 100),
        ("0::/x\n", second("sys/fs/cgroup/unified/x", str(100 * MB), 40), 60, 100),
        ("4:memory:/a\n0::/\n", first("sys/fs/cgroup/memory/a", 100, 99), 1, 100),
        ("4:cpu,memory:/a\n", first("sys/fs/cgroup/memory", 100, 120), 0, 100),
        ("4:memory:/a\n", first("sys/fs/cgroup/memory/a", 1 << 43, 1), 900, None),
    ],
)  # fmt: skip
def test_the_narrowest_limit_counts(
    tmp_path: Path, groups: str, files: dict[str, str], free_mb: int, most_mb: int | None
) -> None:
    root = machine(tmp_path, groups, **files)
    assert free_bytes(root) == free_mb * MB
    assert memory_bytes(root) == (
        memory_bytes(tmp_path / "bare") if most_mb is None else most_mb * MB
    )


def test_a_machine_without_records_has_its_own_memory(tmp_path: Path) -> None:
    assert free_bytes(tmp_path) == memory_bytes(tmp_path) > MB
    assert 0 < free_bytes() <= memory_bytes()


def test_a_limit_of_addresses_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = machine(
        tmp_path, "0::/\n", **{"proc/self/statm": f"{10 * MB // os.sysconf('SC_PAGE_SIZE')} 0\n"}
    )
    monkeypatch.setattr(resource, "getrlimit", lambda _: (50 * MB, 50 * MB))
    assert free_bytes(root) == 40 * MB
