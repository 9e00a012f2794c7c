"""Stand-ins for packages that a help page needs no part of, so that it is printed without waiting.

A method's settings stand beside its algorithm, whose imports take half a second. Only names and
types are read of them for a help page, as when Sphinx reads a module with ``autodoc_mock_imports``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

SLOW = ("numba", "gymnasium", "scipy", "mujoco", "torch", "esengine.compiled")
"""The packages that have stand-ins."""


class _Kind(type):
    """A class that is its own attribute, item and result, and a decorator that changes nothing."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls

    def __getitem__(cls, key: object) -> Any:
        return cls

    def __call__(cls, *values: Any, **named: Any) -> Any:
        return values[0] if values and callable(values[0]) else cls


class _Anything(metaclass=_Kind):
    """What a stand-in has under every name."""


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything


class _Finder(MetaPathFinder, Loader):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        is_slow = any(f"{name}.".startswith(f"{each}.") for each in SLOW)
        return ModuleSpec(name, self, is_package=True) if is_slow else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is executed."""


def use_stand_ins() -> None:
    """Let all later imports of slow packages give stand-ins, in a process that only prints help."""
    sys.meta_path.insert(0, _Finder())
