"""Python objects in place of names: a function, a class or an environment that a script hands over
gets a name, which stands for it in settings and records.

The names mean something only in the process that gave them, and in the workers that it starts.
"""

from __future__ import annotations

import importlib
import pickle
import re
import sys
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import cloudpickle

from esengine.errors import UserError, listed

PREFIX = "python-object:"
"""Names of objects begin with this, which is no name of a module."""
_MOST = 256  # objects that are kept; the oldest are forgotten

_objects: OrderedDict[str, Any] = OrderedDict()
_lock = Lock()
_packed: bytes | None = None


def named_object(value: Any) -> str:
    """The name of an object, the same whenever it is given."""
    own = getattr(value, "__name__", type(value).__name__)
    base = PREFIX + (re.sub(r"\W+", "", own) or "object")
    with _lock:
        for name, known in _objects.items():
            if known is value:
                return name
        number = 1
        name = base
        while name in _objects:
            number += 1
            name = f"{base}-{number}"
        _keep(name, value)
    return name


def give_object(name: str, value: Any) -> None:
    """Let a recorded name stand for an object in this process."""
    with _lock:
        _keep(name, value)


def is_object(name: str) -> bool:
    """Whether a name is one of an object."""
    return name.startswith(PREFIX)


def is_given(name: str) -> bool:
    """Whether a name is one of an object that this process has."""
    name = name.removesuffix(":")
    return is_object(name) and (name in _objects or _packed is not None)


def object_of(what: str, name: str) -> Any:
    """The object of a name. Raises UserError if this process was not given it.

    Args:
        what: the subject of the message, such as a flag.
        name: as `named_object` returned it.
    """
    _unpack()
    with _lock:
        if name not in _objects:
            raise UserError(
                f"{what} was a Python object, {name.removeprefix(PREFIX)}, which this process was "
                f"not given; pass it again: esengine.resume takes env, objective, expert and "
                f"policy, esengine.evaluate takes env and network"
            )
        _objects.move_to_end(name)
        return _objects[name]


def pack_objects(names: Iterable[str]) -> bytes:
    """The objects among some names as bytes for the workers of this process; empty for none.

    Modules that workers could not import travel whole.

    Raises:
        UserError: an object cannot be pickled.
    """
    chosen = {name: object_of("it", name) for name in names if is_object(name)}
    if not chosen:
        return b""
    with _by_value(_modules_of(chosen.values())):
        try:
            return cloudpickle.dumps((sys.path, cloudpickle.dumps(chosen)))  # type: ignore[no-any-return]
        except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(
                f"objects for several workers must be picklable, got {listed(chosen)}: {error}; "
                f"make what cannot be pickled inside of the function, or use workers=1"
            ) from error


def adopt_objects(packed: bytes) -> None:
    """Take what `pack_objects` returned in the process that started this one. It is unpacked when
    the first object is asked for.
    """
    global _packed
    _packed = packed or None


def _unpack() -> None:
    global _packed
    if _packed is None:
        return
    paths, objects = pickle.loads(_packed)
    sys.path += [path for path in paths if path not in sys.path]
    _packed = None
    for name, value in cloudpickle.loads(objects).items():
        give_object(name, value)


def _keep(name: str, value: Any) -> None:
    _objects[name] = value
    _objects.move_to_end(name)
    while len(_objects) > _MOST:
        _objects.popitem(last=False)


def _modules_of(values: Iterable[Any]) -> set[str]:
    """The modules of objects that another process could not import by their names."""
    names = {getattr(each, "__module__", None) for value in values for each in (value, type(value))}
    return {name for name in names if name in sys.modules and not _can_be_found(name)}


def _can_be_found(name: str) -> bool:
    """Whether a new process with the same paths would import a module from where it is loaded."""
    top = name.partition(".")[0]
    loaded = getattr(sys.modules.get(top), "__spec__", None)
    found = (finder.find_spec(top, None) for finder in sys.meta_path)
    fresh = next(filter(None, found), None)
    return fresh is not None and (loaded is None or loaded.origin == fresh.origin)


@contextmanager
def _by_value(names: set[str]) -> Iterator[None]:
    """Pickle what is of these modules whole instead of by name in the ``with`` block."""
    modules = [importlib.import_module(name) for name in names if name != "__main__"]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)
