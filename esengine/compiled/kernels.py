"""The decorator of all kernels: Numba's ``njit`` with a disk cache that depends on everything a
kernel is made of, and that may be missing.

Numba's own cache depends only on the file of the kernel. If a kernel calls one in another module,
or reads a constant there, and that module changes, Numba would silently use the old machine code.

Numba raises an error where it can write neither beside the sources nor in the user's cache folder,
as in a container that runs as another user. Here kernels are then kept in a folder for temporary
files, or compiled in each process. Those that were compiled when an image was made are used.
"""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import stat
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Literal

import numpy as np
from numba import njit
from numba.core.caching import FunctionCache

_TEMPORARY = ("/tmp", "/var/tmp")
_DAMAGED = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError),
    *(AttributeError, ImportError, IndexError, KeyError),
)
_IMPLEMENTATION: Any = FunctionCache._impl_class
_LOCATORS = _IMPLEMENTATION._locator_classes
_IN_TREE: Any = next(found for found in _LOCATORS if "InTree" in found.__name__)
_remarks: list[str] = []
_only_read: list[str] = []  # sources whose kernels cannot be kept


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
        keep(dispatcher, function)
        return dispatcher

    return compiled if function is None else compiled(function)


def keep(compiled: Any, function: Callable[..., Any]) -> None:
    """Let an object of Numba's that compiles a function use the cache of kernels."""
    try:
        compiled._cache = _KernelCache(function)
    except RuntimeError as error:  # no file holds its source
        _remarks.append(str(error))


def cache_remark() -> str | None:
    """A sentence about the kernels that this process compiled, if they are not kept as usual."""
    return f"{_remarks[0]}; set NUMBA_CACHE_DIR to a folder that keeps them" if _remarks else None


def keeps_kernels() -> bool:
    """Whether the kernels that this process compiles are kept for others."""
    return not _only_read


class _Temporary(_IN_TREE):  # type: ignore[misc]
    """Places kernels in a folder for temporary files that no other user can write, made when the
    first kernel is kept.
    """

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> _Temporary | None:
        return cls(function, file) if os.path.exists(file) and _own_folder() else None

    def get_cache_path(self) -> str:
        folder = _own_folder()
        assert folder is not None
        return str(folder / self.get_suitable_cache_subpath(self._py_file))

    def is_safe(self) -> bool:
        """Whether nobody else has made the folder, whose files run as code."""
        folder = Path(self.get_cache_path()).parent
        try:
            found = folder.lstat()
        except OSError:
            return False
        return _is_own(found)

    def ensure_cache_path(self) -> None:
        folder = Path(self.get_cache_path()).parent
        folder.mkdir(mode=0o700, exist_ok=True)
        if not self.is_safe():
            raise PermissionError(errno.EPERM, "another user has made it", str(folder))
        super().ensure_cache_path()


class _OnlyRead(_IN_TREE):  # type: ignore[misc]
    """Places kernels beside their source, where none can be written."""

    def ensure_cache_path(self) -> None:
        _only_read.append(self._py_file)


def _is_usable(locator: Any) -> bool:
    """Whether a place of Numba's exists: that of the user is taken for the relative path ``~`` if
    nobody knows the user's home folder.
    """
    return "UserWide" not in locator.__name__ or os.path.isabs(os.path.expanduser("~"))


class _Implementation(_IMPLEMENTATION):  # type: ignore[misc]
    _locator_classes = (*filter(_is_usable, _LOCATORS), _Temporary, _OnlyRead)


class _KernelCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache with a digest of all ingredients in its key. A kernel that cannot be read or
    written there is compiled.
    """

    _impl_class = _Implementation

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        locator = self._impl.locator
        beside = os.path.join(os.path.dirname(function.__code__.co_filename), "__pycache__")
        self._beside = type(self._cache_file)(
            cache_path=beside,
            filename_base=self._impl.filename_base,
            source_stamp=locator.get_source_stamp(),
        )

    # Overrides a private method of Numba's cache, present since 0.61.
    # tests/esengine/test_compiled.py fails if a newer Numba no longer calls it.
    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), ingredients_digest(self._py_func))

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        target_context.refresh()
        key = self._index_key(sig, target_context.codegen())
        locator = self._impl.locator
        is_safe = not isinstance(locator, _Temporary) or locator.is_safe()  # loading runs code
        for file in (self._cache_file, self._beside)[0 if is_safe else 1 :]:
            try:
                found = file.load(key)
                if found is not None:
                    return self._impl.rebuild(target_context, found)
            except (OSError, *_DAMAGED):
                continue
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            try:
                super().save_overload(sig, data)
            except _DAMAGED:
                self.flush()
                super().save_overload(sig, data)
        except OSError as error:
            _remarks.append(
                f"compiled kernels are not kept, since {self.cache_path} cannot be written: "
                f"{error.strerror}"
            )
        else:
            if isinstance(self._impl.locator, _Temporary):
                _remarks.append(
                    f"compiled kernels are kept in {_own_folder()}, until it is removed"
                )


@cache
def _own_folder() -> Path | None:
    """The folder for the kernels of this user where temporary files are, or None if there can be
    none. It need not exist.
    """
    for place in filter(None, (os.environ.get("TMPDIR"), *_TEMPORARY)):
        folder = Path(place, f"esengine-kernels-{os.geteuid()}")
        try:
            around = os.stat(place)
            can_be = _is_own(folder.lstat()) if os.path.lexists(folder) else True
        except OSError:
            continue
        is_guarded = not around.st_mode & stat.S_IWOTH or around.st_mode & stat.S_ISVTX
        if can_be and is_guarded and os.access(place, os.W_OK | os.X_OK):
            return folder
    return None


def _is_own(found: os.stat_result) -> bool:
    """Whether this is a folder of this user, which no other user can write."""
    is_guarded = not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and is_guarded


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
