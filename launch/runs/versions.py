"""What a start ran on: the versions of packages, and the commit of a checkout."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

_PACKAGES = ("numpy", "numba", "gymnasium", "mujoco", "mpi4py", "cma")


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that results depend on; ``none`` for a package
    that is not installed.
    """
    from esengine import __version__

    found = {"python": platform.python_version(), "esengine": __version__}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "none"
    return found


def processor() -> str:
    """The vector instructions that NumPy and BLAS use here. Other ones give other last bits."""
    found = np.show_config(mode="dicts")
    extensions = found["SIMD Extensions"]["found"] if found else []
    kernels = {library.get("architecture", "") for library in threadpool_info()} - {""}
    return " ".join([platform.machine(), *extensions[-1:], *sorted(kernels)])


def commit() -> str | None:
    """The commit of the checkout that the package runs from, or None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "--verify", "-q", "HEAD"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None  # git is not installed
    return result.stdout.strip() or None
