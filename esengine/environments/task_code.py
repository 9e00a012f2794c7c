"""Whether a task is the one that compiled rollouts compute: its code, and its attributes.

A digest covers all that decides the steps of an environment's class: the source of the functions
that its roots reach, within gymnasium, and the constants that these read, of classes and modules
alike. A patched method, an edited gymnasium or another version of it has another digest.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from esengine.environments.known_code import KNOWN_CODE
from esengine.errors import in_one_line

_NOT_FOLLOWED = {"render", "close", "metadata", "spec", "__class__", "__module__", "__doc__"}
"""Names of members that change no step."""
_HOME = "gymnasium."
_FOLLOWED_MODULES = ("gymnasium.envs.", "gymnasium.utils.seeding")


class TaskCode:
    """The code that a class runs in its roots.

    Args:
        kind: the class of an environment.
        roots: names of its methods.

    Attributes:
        digest: of the code.
    """

    def __init__(self, kind: type, roots: Sequence[str]) -> None:
        self._looked_at: list[tuple[Mapping[str, Any], str, Any, Any]] = []
        self._seen: set[int] = set()
        parts: list[str] = []
        names = list(roots)
        done = set(_NOT_FOLLOWED)

        while names:
            name = names.pop(0)
            if name in done:
                continue
            done.add(name)
            for owner in kind.__mro__:
                members = vars(owner)
                if name in members and owner is not object:
                    value = self._look(members, name)
                    parts.append(f"{owner.__qualname__}.{name} = {self._text(value)}")
                    names += (used for code in _codes(value) for used in _names(code))

        self.digest = hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()

    def is_current(self) -> bool:
        """Whether nothing that the digest covers has been replaced since."""
        return all(
            members.get(name) is value and _contents(value) == contents
            for members, name, value, contents in self._looked_at
        )

    def _look(self, members: Mapping[str, Any], name: str) -> Any:
        value = members[name]
        self._looked_at.append((members, name, value, _contents(value)))
        return value

    def _text(self, value: Any) -> str:
        """What a value means for a step, as a text that is the same for all Pythons."""
        if isinstance(value, staticmethod | classmethod | property | FunctionType):
            return "\n".join(map(self._function_text, _functions(value)))
        if isinstance(value, ModuleType):
            return value.__name__
        if isinstance(value, type):
            return value.__qualname__
        if isinstance(value, np.ndarray | np.generic):
            return repr(value.tolist())
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(self._text, value))}]"
        if value is None or isinstance(value, bool | int | float | str | dict):
            return repr(value)
        return type(value).__qualname__

    def _function_text(self, function: FunctionType) -> str:
        """The source of a function of gymnasium with the globals that it reads; the name of any
        other function.
        """
        if id(function) in self._seen:
            return function.__qualname__
        self._seen.add(id(function))
        if not function.__module__.startswith(_HOME):
            return f"{function.__module__}.{function.__qualname__}"

        try:
            parts = [inspect.getsource(function)]
        except (OSError, TypeError):
            return "unknown"
        used = sorted(set(_names(function.__code__)))
        for name in used:
            if name not in function.__globals__:
                continue
            value = self._look(function.__globals__, name)
            parts.append(f"{name} = {self._text(value)}")
            if isinstance(value, ModuleType) and value.__name__.startswith(_FOLLOWED_MODULES):
                parts += [
                    self._text(self._look(vars(value), member))
                    for member in used
                    if isinstance(vars(value).get(member), FunctionType)
                ]
        return "\n".join(parts)


def task_code(kind: type, roots: Sequence[str]) -> TaskCode:
    """The code of a class, computed again only when a part of it was replaced."""
    code = _CODES.get((kind, tuple(roots)))
    if code is None or not code.is_current():
        code = _CODES[kind, tuple(roots)] = TaskCode(kind, roots)
    return code


_CODES: dict[tuple[type, tuple[str, ...]], TaskCode] = {}


def changed_code(kind: type, name: str, roots: Sequence[str]) -> str | None:
    """What is not as compiled in the code of a class, or None.

    Args:
        kind: the class.
        name: of the class as ``module:name``. One without digests is of this package.
        roots: see `TaskCode`.
    """
    known = KNOWN_CODE.get(name)
    if known is None:
        return None if is_at_home(kind) else f"a method of {kind.__name__} was replaced"
    if task_code(kind, roots).digest in known:
        return None
    return f"the code or a constant of {kind.__name__} is not that of gymnasium 1.0 to 1.4"


def is_at_home(kind: type) -> bool:
    """Whether all methods of a class are those that its module defines."""
    return all(
        (function.__module__, function.__qualname__)
        == (kind.__module__, f"{kind.__qualname__}.{name}")
        for name, value in vars(kind).items()
        for function in _functions(value)
    )


def changed_attribute(task: Any, usual: Any, passed_on: Sequence[str] = ()) -> str | None:
    """An attribute of an environment that is not as in a new one of its class, or None.

    Args:
        task: the environment, without wrappers.
        usual: a new environment with the arguments by default.
        passed_on: attributes that compiled code takes from the environment.
    """
    own = vars(task)
    new = vars(usual)
    for name in sorted((own.keys() | new.keys()) - _OF_EPISODES - {*passed_on}):
        if name not in own or name not in new or not _same(own[name], new[name]):
            return f"its {name} is {in_one_line(own.get(name))}"
    return None


_OF_EPISODES = {
    *("state", "last_u", "steps_beyond_terminated", "_np_random", "_np_random_seed", "spec"),
    *("render_mode", "screen", "screen_dim", "screen_width", "screen_height", "surf", "clock"),
    "isopen",
}
"""Attributes that every reset sets, or that rendering uses."""


def _same(value: Any, other: Any) -> bool:
    if isinstance(value, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(value, other)
    return bool(value == other)


def _functions(value: Any) -> list[FunctionType]:
    """The functions of a member of a class."""
    if isinstance(value, property):
        return [part for part in (value.fget, value.fset) if isinstance(part, FunctionType)]
    value = getattr(value, "__func__", value)
    return [value] if isinstance(value, FunctionType) else []


def _codes(value: Any) -> list[CodeType]:
    return [function.__code__ for function in _functions(value)]


def _names(code: CodeType) -> Iterator[str]:
    """The names of globals and attributes that code uses."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _contents(value: Any) -> Any:
    """What can change in a value that stays the same object."""
    if isinstance(value, np.ndarray | list | dict):
        return repr(value)
    return _codes(value)
