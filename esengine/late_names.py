"""Names of a package that are imported when they are first used, each written once."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def late_names(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """The functions ``__getattr__`` and ``__dir__`` of a package, and its ``__all__``.

    The names are those that its source imports under ``if TYPE_CHECKING:``, so that type checkers,
    readers and the interpreter have one list. Python itself skips these imports.

    Args:
        package: name of the package, which is being imported.
    """
    loader: Any = sys.modules[package].__loader__
    statements = ast.parse(loader.get_source(package)).body
    homes = {
        alias.asname or alias.name: (each.module, alias.name)
        for block in statements
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for each in block.body
        if isinstance(each, ast.ImportFrom) and each.module is not None
        for alias in each.names
    }

    def found(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, original = homes[name]
        return getattr(import_module(module), original)

    names = sorted(homes)
    return found, lambda: list(names), names
