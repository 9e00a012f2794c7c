"""Kernels that are compiled already, for an installed copy of the package: compiling them all again
takes half a minute.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.conftest import REPOSITORY


def lend_kernels(package: Path) -> None:
    """Give an installed package the kernels that this checkout has compiled, which are known by the
    sources' times.
    """
    for cache in (REPOSITORY / "esengine").glob("**/__pycache__"):
        there = package / cache.parent.relative_to(REPOSITORY / "esengine")
        (there / "__pycache__").mkdir(exist_ok=True)
        for kernel in cache.glob("*.nb?"):
            shutil.copy2(kernel, there / "__pycache__")
        for source in cache.parent.glob("*.py"):
            shutil.copystat(source, there / source.name)
