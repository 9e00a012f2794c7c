"""The decorator of all kernels: Numba's ``njit`` with a disk cache that depends on everything a
kernel is made of.

Numba's own cache depends only on the file of the kernel. If a kernel calls one in another module,
or reads a constant there, and that module changes, Numba would silently use the old machine code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import cache
from types import CodeType, FunctionType, ModuleType
from typing import Any, Literal

import numpy as np
from numba import njit
from numba.core.caching import FunctionCache


def kernel(
    function: Callable[..., Any] | None = None, *, inline: Literal["never", "always"] = "never"
) -> Any:
    """Compile a function when it is first called, or load it from the cache. Division by 0 follows
    NumPy.

    Args:
        function: the function to compile.
        inline: ``always`` copies its code into each caller before the caller is compiled.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = njit(error_model="numpy", inline=inline)(function)
        dispatcher._cache = _KernelCache(function)
        return dispatcher

    return compiled if function is None else compiled(function)


class _KernelCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache with a digest of all ingredients in its key."""

    # Overrides a private method of Numba's cache, present since 0.61.
    # tests/esengine/test_compiled.py fails if a newer Numba no longer calls it.
    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), ingredients_digest(self._py_func))


@cache
def ingredients_digest(function: FunctionType) -> str:
    """The digest of a function's code, the constants that it reads and all functions that it calls,
    in any module.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in _ingredients(function, set()):
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.hexdigest()


def _ingredients(function: FunctionType, met: set[FunctionType]) -> Iterator[bytes]:
    if function in met:
        return

    met.add(function)
    code = function.__code__
    names = sorted(_names(function.__code__))
    yield from _code_parts(code)
    yield from _value_parts(
        (function.__defaults__, tuple(sorted((function.__kwdefaults__ or {}).items()))), names, met
    )
    free = zip(code.co_freevars, function.__closure__ or (), strict=True)
    scope = function.__globals__ | {name: cell.cell_contents for name, cell in free}

    for name in sorted({*names, *code.co_freevars} & scope.keys()):
        yield name.encode()
        yield from _value_parts(scope[name], names, met)


def _value_parts(value: Any, names: list[str], met: set[FunctionType]) -> Iterator[bytes]:
    """The bytes of a value. Of a module, only what the code reads by one of ``names``."""
    function = getattr(value, "py_func", None) or getattr(value, "_defn", None)
    if function is not None:
        yield from _ingredients(function, met)
    elif isinstance(value, ModuleType):
        for name in names:
            if name in vars(value):
                yield name.encode()
                yield from _value_parts(vars(value)[name], [], met)
    elif isinstance(value, tuple):
        yield str(len(value)).encode()
        for item in value:
            yield from _value_parts(item, names, met)
    elif isinstance(value, np.ndarray):
        yield from (str((value.dtype, value.shape)).encode(), value.tobytes())
    elif isinstance(value, int | float | complex | str | bytes | np.generic | type | None):
        yield repr(value).encode()


def _code_parts(code: CodeType) -> Iterator[bytes]:
    yield code.co_code
    yield repr((code.co_names, code.co_varnames, code.co_freevars)).encode()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_parts(constant)
        elif isinstance(constant, frozenset):  # its order differs between processes
            yield repr(sorted(map(repr, constant))).encode()
        else:
            yield repr(constant).encode()


def _names(code: CodeType) -> set[str]:
    inner = (_names(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*inner)
