"""The package's modules, and which of them import which."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from tests.conftest import REPOSITORY

FOLDERS = {
    "esengine": "esengine",
    "algorithms": "esengine.algorithms",
    "launch": "esengine.launch",
}


def sources(*folders: str) -> list[Path]:
    """Return the Python files below folders of the repository, links left out."""
    found = [path for folder in folders for path in sorted((REPOSITORY / folder).rglob("*.py"))]
    linked = [REPOSITORY / "esengine" / name for name in ("algorithms", "launch")]
    return [path for path in found if not any(path.is_relative_to(link) for link in linked)]


@cache
def tree(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_text())


@cache
def modules() -> dict[str, Path]:
    """Return the file of every module of the package, by the module's name."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in sources(folder):
            parts = path.relative_to(REPOSITORY / folder).with_suffix("").parts
            found[".".join([package, *parts]).removesuffix(".__init__")] = path
    return found


@cache
def imports(module: str) -> frozenset[str]:
    """Return the modules that a module imports, at its top, within functions, or for types."""
    found = set()
    for node in ast.walk(tree(modules()[module])):
        if isinstance(node, ast.ImportFrom) and node.module in modules():
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            found |= {name if name in modules() else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in modules()}
    return frozenset(found - {module})


def package_of(module: str) -> str:
    """Return the folder that a module lives in, or the module's own name above all folders."""
    path = modules()[module]
    folder = path.parent.relative_to(REPOSITORY)
    is_top = str(folder) in FOLDERS
    return f"{folder}/{path.stem}" if is_top else "/".join(folder.parts[:2])
